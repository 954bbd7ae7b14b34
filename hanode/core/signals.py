"""Who heard a host itself, over which of its networks, and how is that said to people?

A signal is a probe of one network of a host, from one place. What answers is a sign of life, wherever it was heard; silence
counts only from here, because of another's view it is not known why it hears nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MANAGEMENT = "management"
"""The network of Nova's host_ip, which needs no declaration."""

COMMAND = "command"
"""What a program of the operator's says of a host; treated as one more network."""

KDUMP = "kdump"
"""Asked like a network: has the host's crashing kernel said so lately (fence_kdump)? Never a sign of life, and never silence:
the message is not signed, so whoever can send a packet in the host's name can say it (`crash`)."""

NOVA = ""
"""The key of what a witness sees of Nova itself; no probe has it."""


def probe_key(network: str, host: str) -> str:
    """The key of a probe of one network; the network stands first, so that any host name may follow."""
    return f"{network}@{host}"


def network_and_host(key: str) -> tuple[str, str]:
    network, _, host = key.partition("@")
    return network, host


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def few(items: Sequence[str], most: int = 5) -> str:
    """The first of them, and how many more there are."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
