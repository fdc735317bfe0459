"""The shape of an address with placeholders: what its reader and its writer must agree on."""

from __future__ import annotations

from integration.rules.placeholders import Template

HOLE = "\ue000"  # stands for a placeholder while an address is looked at


def shape_of(template: Template) -> str:
    """The address with a mark for each placeholder."""
    return "".join(part if isinstance(part, str) else HOLE for part in template)


def host_is_open(template: Template) -> bool:
    """Whether data can choose the host."""
    shape = shape_of(template)
    if shape.startswith(HOLE):
        return True
    authority = shape.partition("://")[2].partition("/")[0].partition("?")[0]
    return HOLE in authority


def is_dots(segment: str) -> bool:
    """Whether a path segment means this folder or the one above, however it is escaped."""
    return segment.lower().replace("%2e", ".") in (".", "..")
