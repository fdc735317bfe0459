"""What two readers of one head could read differently: the library reads on, this server does not."""

from __future__ import annotations

_LONGEST_LENGTH = 15  # digits of a Content-Length; int() refuses more than 4,300 with an exception
_ONCE = frozenset({b"content-length", b"transfer-encoding", b"host"})


def what_is_wrong(header_plus: bytes) -> str | None:
    """Why a head is refused though the library would take it; None if nothing is wrong with it."""
    if b"\r\n " in header_plus or b"\r\n\t" in header_plus:
        return "a folded header"
    seen: dict[bytes, bytes] = {}
    for line in header_plus.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name in seen:
            return "a header twice that may come once"
        if name in _ONCE:
            seen[name] = value.strip(b" \t").lower()
    if len(seen.get(b"content-length", b"")) > _LONGEST_LENGTH:
        return "a length beyond all reason"
    encoding = seen.get(b"transfer-encoding")
    if encoding is not None and (encoding != b"chunked" or b"content-length" in seen):
        return "no single word on where the body ends"
    return None
