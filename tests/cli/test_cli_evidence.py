from __future__ import annotations

import json

from tests.cli.conftest import PLACED, REFUSED


def test_each_check_before_a_call_is_shown_with_what_it_saw(desk, office):
    lead = office.lead(PLACED)
    result = desk("evidence", str(lead))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Lead {lead}: called (placed)\n")
    assert "dialing: attempt 1: account us-east" in result.stdout
    for name in ("pause", "do_not_call", "cooldown"):
        assert f"  {name.ljust(14)}ok" in result.stdout
    assert "rules version" in result.stdout


def test_for_scripts_it_is_json_with_the_version_of_the_rules(desk, office):
    first = office.lead(PLACED, Phone="+15551230099")
    second = office.lead(PLACED, Phone="+15551230099")
    told = json.loads(desk("evidence", str(second), "--json").stdout)
    assert (told["lead"], told["state"], told["reason"]) == (second, "blocked", "cooldown")
    (step,) = told["steps"]
    assert len(step["rules"]) == 12
    checks = {check["name"]: check for check in step["checks"]}
    assert checks["do_not_call"]["verdict"] == "ok"
    assert checks["cooldown"]["verdict"] == "refused"
    assert f"for lead {first}, call call-abc-1" in checks["cooldown"]["saw"]["found"]
    assert "5551230099" not in json.dumps(told)


def test_a_lead_that_no_rule_wanted_to_call_was_asked_nothing(desk, office):
    lead = office.lead(REFUSED, Name="Ringback")
    assert "Nothing was asked about it" in desk("evidence", str(lead)).stdout
    assert json.loads(desk("evidence", str(lead), "--json").stdout)["steps"] == []


def test_no_such_lead(desk, office):
    result = desk("evidence", "99")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no lead 99; `ringback leads` lists them\n")
