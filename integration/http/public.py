"""Which addresses belong to the public internet.

`ipaddress` alone does not say: its `is_global` also holds for addresses that a gateway turns into private ones (NAT64,
6to4, Teredo, IPv4-compatible), for multicast, and for the metadata services of some clouds.
"""

from __future__ import annotations

import ipaddress

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in (
        "100.64.0.0/10",  # shared by carriers; a metadata service of Alibaba's
        "168.63.129.16/32",  # the same of Azure's
        "192.0.0.0/24",  # special purposes; the same of Oracle's
        "192.88.99.0/24",  # relays of 6to4
        "224.0.0.0/4",
        "::/96",  # IPv4-compatible
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "5f00::/16",
        "fec0::/10",
        "ff00::/8",
    )
)


def plain_address(text: str) -> str:
    """An IP address in its one usual spelling, an IPv4 address within IPv6 as IPv4; "" where it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_public(text: str) -> bool:
    """Whether an IP address can belong to nobody but a server out in the internet."""
    try:
        address = ipaddress.ip_address(plain_address(text))
    except ValueError:
        return False
    if getattr(address, "scope_id", None):
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)
