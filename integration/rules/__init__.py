"""The admin's rules file: YAML to rules with every mistake named, and a lead to a decision.

Pure throughout: no clock, network, disk, log or Flask. The caller reads the file and the environment.
"""

from integration.rules.decide import OptOut, decide, read_opt_out
from integration.rules.events import Messages, item_of, read_event, read_events, read_message
from integration.rules.explain import Explanation, explain
from integration.rules.loader import load_rules
from integration.rules.moments import moment_of
from integration.rules.placeholders import WritebackFacts
from integration.rules.shapes import (
    Answers,
    Event,
    Handshake,
    HandshakeKind,
    Ignored,
    Mistake,
    Rule,
    Rules,
    RulesError,
    RulesTest,
    Source,
    TestResult,
    Unusable,
    WriteBack,
)
from integration.rules.testing import run_tests
from integration.rules.writeback import BadWriteback, RenderedRequest, render_writeback

__all__ = [
    "Answers",
    "BadWriteback",
    "Event",
    "Explanation",
    "Handshake",
    "HandshakeKind",
    "Ignored",
    "Messages",
    "Mistake",
    "OptOut",
    "RenderedRequest",
    "Rule",
    "Rules",
    "RulesError",
    "RulesTest",
    "Source",
    "TestResult",
    "Unusable",
    "WriteBack",
    "WritebackFacts",
    "decide",
    "explain",
    "item_of",
    "load_rules",
    "moment_of",
    "read_event",
    "read_events",
    "read_message",
    "read_opt_out",
    "render_writeback",
    "run_tests",
]
