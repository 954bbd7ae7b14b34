"""When does that by which we are trusted, or trust others, run out? What cannot be read is said to be unknown, never guessed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

AT_ONCE = 16
"""So many servers are asked side by side: a power device that is away takes its whole time."""


@dataclass(frozen=True)
class Expiry:
    what: str  # of which kind: bounded, because it becomes a label
    where: str  # which one
    at: datetime | None = None  # None: never, or not known
    unknown: str = ""  # why it is not known; "" when it is


def of_file(what: str, path: str) -> Expiry:
    """Of a PEM file: the first of its chain to run out."""
    try:
        return Expiry(what, path, min(_end_of(found) for found in x509.load_pem_x509_certificates(Path(path).read_bytes())))
    except (OSError, ValueError) as error:
        return Expiry(what, path, unknown=f"cannot be read: {error}")


def of_server(what: str, host: str, port: int, timeout_s: float) -> Expiry:
    """What a server shows. It is not judged here, so that one that has run out, or is not trusted, can be read as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent, and nothing believed but a date
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout_s) as plain, context.wrap_socket(plain, server_hostname=host) as wrapped:
            shown = wrapped.getpeercert(binary_form=True) or b""
        return Expiry(what, where, _end_of(x509.load_der_x509_certificate(shown)))
    except (OSError, ValueError) as error:
        return Expiry(what, where, unknown=f"does not show its certificate: {error}")


def side_by_side(reads: Iterable[Callable[[], Expiry]]) -> list[Expiry]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda read: read(), reads))


def moment(stamp: str | None) -> datetime | None:
    """A time as Keystone writes it: UTC, with or without saying so; None: never."""
    return datetime.fromisoformat(stamp.removesuffix("Z")).replace(tzinfo=UTC) if stamp else None


def _end_of(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc
