"""The rules of the house: whom we may call, and when. From a decision to a verdict for one moment.

Pure: no clock, network, disk or environment. The caller brings the instant and the lead.
"""

from integration.house.judge import House, Stale, Terms, judge

__all__ = ["House", "Stale", "Terms", "judge"]
