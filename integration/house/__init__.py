"""The rules of the house: whom we may call, and when. From a decision to a verdict for one moment.

Pure: no clock, network or environment. The caller brings the instant and the lead. The only thing read from disk is the
data of time zones, once, out of the locked `tzdata` package, so that every machine knows the same zones.
"""

from integration.house.judge import GRANTED, House, Outside, Stale, Terms, as_judged, judge
from integration.house.us_states import Override, StateRule, in_force
from integration.house.weeks import MIDNIGHT, BadHours, Week, Window, clock, read_days, read_windows
from integration.house.windows import Hours, Opening, OpeningKind, Seen, look
from integration.house.words import Told, tell, when
from integration.house.zones import Zones, find_zones, read_tables, read_us_state, read_zone

__all__ = [
    "GRANTED",
    "MIDNIGHT",
    "BadHours",
    "Hours",
    "House",
    "Opening",
    "OpeningKind",
    "Outside",
    "Override",
    "Seen",
    "Stale",
    "StateRule",
    "Terms",
    "Told",
    "Week",
    "Window",
    "Zones",
    "as_judged",
    "clock",
    "find_zones",
    "in_force",
    "judge",
    "look",
    "read_days",
    "read_tables",
    "read_us_state",
    "read_windows",
    "read_zone",
    "tell",
    "when",
]
