"""Is this text an IP address, or a network of them?"""

from __future__ import annotations

import ipaddress


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_prefix(text: str) -> bool:
    """With its length: "10.0.0.0/8"; a lone address is none."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text
