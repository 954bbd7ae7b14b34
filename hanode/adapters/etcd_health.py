"""How is each member of etcd by itself? For `hanode config check`; the daemon only ever talks to all of them at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hanode.adapters.etcd_client import Access, Address, open_client
from hanode.errors import HanodeError, Refused

PROBED_KEY = b"/hanode/"
"""Need not exist. Reading it takes a majority, and no right that hanode does not need anyway."""


@dataclass(frozen=True)
class Health:
    endpoint: str
    trouble: str = ""
    is_full: bool = False
    took_s: float = 0.0
    version: str = ""


def read_health(url: str, access: Access) -> tuple[Health, ...]:
    """Every endpoint of the URL; one that is ill is told as such, not raised."""
    address = Address.parse(url)
    return tuple(_of(Address(address.scheme, (endpoint,)), access) for endpoint in address.endpoints)


def count_members(url: str, access: Access) -> int | None:
    """So many members has the cluster by its own account; None when our user may not ask."""
    try:
        return len(open_client(Address.parse(url), access).members())
    except Refused:
        return None


def _of(address: Address, access: Access) -> Health:
    client, endpoint = open_client(address, access), address.endpoints[0]
    try:
        began_s = time.monotonic()
        client.get(PROBED_KEY)
        took_s = time.monotonic() - began_s
        status = client.status()
    except HanodeError as error:
        return Health(endpoint, str(error))
    return Health(endpoint, "", _is_full(status.get("errors", ())), took_s, str(status.get("version", "")))


def _is_full(errors: Sequence[str]) -> bool:
    return any("NOSPACE" in error for error in errors)
