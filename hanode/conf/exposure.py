"""What would the web port show to whom it should not?"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any


def wrong(get: Callable[[str], Any]) -> Iterator[tuple[str, str]]:
    """Options of [web] that would show too much, or cannot be kept, each with why and the remedy; `get` reads one of them."""
    if bool(get("cert_file")) != bool(get("key_file")):
        yield "cert_file", "it and key_file belong together: set both, or neither for plain http"
    if get("client_ca_file") and not get("cert_file"):
        yield "client_ca_file", "needs cert_file and key_file: over plain http nobody can show a certificate"
    if get("port") == 0 or _is_loopback(get("address")):
        return
    if not (get("password_file") or get("client_ca_file") or get("web_public_read")):
        yield "address", (f"{get('address')} is not loopback, and anybody there could read hosts and instances: set password_file or "
                          "client_ca_file, or web_public_read = true if that is meant")
    if get("password_file") and not get("cert_file"):
        yield "password_file", ("over plain http everybody on the way reads the password: set cert_file and key_file, or listen on "
                                "127.0.0.1 behind a proxy that speaks https")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
