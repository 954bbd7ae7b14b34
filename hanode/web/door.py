"""Who may read? TLS, client certificates and passwords of the web port."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt

from hanode.errors import ConfigError

REMEDY = "write one user:hash a line, as `htpasswd -nB USER` (bcrypt) prints it"


@dataclass(frozen=True)
class Door:
    """Replaced as a whole when the configuration is read again; the default lets everybody in, over plain http."""

    users: Mapping[str, bytes] = field(default_factory=dict)  # user -> bcrypt hash
    tls: ssl.SSLContext | None = None
    _known: set[bytes] = field(default_factory=set)  # digests of headers that were right: bcrypt is slow on purpose
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, cert_file: str = "", key_file: str = "", client_ca_file: str = "", password_file: str = "") -> Door:
        """Read the files; raises ConfigError, naming the option."""
        return cls(_users(password_file) if password_file else {}, _context(cert_file, key_file, client_ca_file) if cert_file else None)

    def admits(self, authorization: str) -> bool:
        """Does this Authorization header name a user with the right password?"""
        if not self.users:
            return True
        digest = hashlib.sha256(authorization.encode()).digest()
        if digest in self._known:
            return True
        user, password = _credentials(authorization)
        # One at a time: whoever guesses passwords must not take more than one processor from the ticks.
        with self._lock:
            good = user in self.users and _matches(password, self.users[user])
        if good:
            self._known.add(digest)  # at most one for each user and spelling of the right password
        return good


def _matches(password: bytes, hashed: bytes) -> bool:
    return len(password) <= 72 and bcrypt.checkpw(password, hashed)  # bcrypt reads no further, and newer ones raise


def _credentials(authorization: str) -> tuple[str, bytes]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).partition(b":") if scheme.lower() == "basic" else (b"", b"", b"")
        return user.decode(), password
    except ValueError:  # of the encoding, whichever of the two
        return "", b""


def _users(file: str) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[web] password_file: cannot read {file}: {error}; make it readable for the user that hanode runs as") from error
    for number, line in enumerate(lines, 1):
        user, _, hashed = line.strip().partition(":")
        if not line.strip():
            continue
        try:
            bcrypt.checkpw(b"", hashed.encode())
        except ValueError as error:
            raise ConfigError(f"[web] password_file: {file} line {number} has no bcrypt hash; {REMEDY}") from error
        found[user] = hashed.encode()
    if not found:
        raise ConfigError(f"[web] password_file: {file} names nobody, so nobody could read anything; {REMEDY}")
    return found


def _context(cert_file: str, key_file: str, client_ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[web] cert_file: {cert_file} and key_file {key_file} cannot be used: {error}; give a PEM certificate "
                          "with its chain and its own key, readable for the user that hanode runs as") from error
    if client_ca_file:
        try:
            context.load_verify_locations(client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"[web] client_ca_file: {client_ca_file} cannot be used: {error}; give CA certificates in PEM") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
