"""How is etcd spoken to? One HTTP session with failover, TLS, passwords and our own errors, for journal and lock alike.

Both etcd3gw and tooz's etcd driver talk through a `requests.Session`. Everything that they lack is mounted on that
session as one adapter: several endpoints, a limit on the whole call, a token that is renewed, and the decision whether
a failed request may have taken effect. That decision is made here, where it is still known whether bytes were sent;
etcd3gw lets our exceptions pass and would only blur those of requests.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import etcd3gw
import requests
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectTimeout, RequestException
from urllib3.exceptions import MaxRetryError, NewConnectionError

from hanode.errors import Ambiguous, ConfigError, HanodeError, Refused, Unreachable

API_PATH = "/v3/"
DEFAULT_PORT = 2379

READS = ("/kv/range", "/kv/lease/timetolive", "/lease/keepalive", "/auth/authenticate")
"""Requests that may be sent twice without harm: they change nothing, or twice does what once does."""

DECORATION = re.compile(r"^<urllib3[^>]*>: |^HTTPS?Connection(Pool)?\([^)]*\): | \(read timeout=[\d.]+\)")
"""What urllib3 writes around its reasons; the endpoint is said by us."""

UNANSWERED = frozenset({408, 499})
"""With every 5xx: the answers that leave open whether the request took effect (timeouts inside etcd, no leader)."""


@dataclass(frozen=True)
class Access:
    """How the endpoints are reached. Paths are files; user and password are etcd's own (RBAC), not TLS's.

    The user needs read and write on the prefixes `/hanode/` and `/tooz/locks/hanode/`.
    """

    timeout_s: float = 3.0  # for a whole call over all endpoints
    connect_timeout_s: float = 1.0
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Access(timeout_s={self.timeout_s}, ca_file={self.ca_file!r}, cert_file={self.cert_file!r}, user={self.user!r})"


@dataclass(frozen=True)
class Address:
    scheme: str  # "http" | "https"
    endpoints: tuple[str, ...]  # "host:port", in the order of trying

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `etcd3+http://h1:2379,h2:2379,h3:2379` or `etcd3+https://...`."""
        parts = urlsplit(url)
        scheme = parts.scheme.removeprefix("etcd3+")
        hosts = tuple(host for host in parts.netloc.split(",") if host)
        if scheme not in {"http", "https"} or not hosts or parts.path.strip("/") or parts.query:
            raise ConfigError(f"[journal] url: {url!r} is not like etcd3+http://h1:2379,h2:2379,h3:2379 (or etcd3+https://)")
        if "@" in parts.netloc:
            raise ConfigError("[journal] url: no user or password in the URL; set [journal] username and password_file instead")
        return cls(scheme, tuple(_with_port(host, url) for host in hosts))


def _with_port(host: str, url: str) -> str:
    match = re.fullmatch(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?", host)
    if match is None:
        raise ConfigError(f"[journal] url: {host!r} in {url!r} is not HOST:PORT; an IPv6 address needs brackets")
    return f"{match['host']}:{match['port'] or DEFAULT_PORT}"


def open_session(address: Address, access: Access) -> requests.Session:
    """A session that reaches every endpoint, whichever of them a URL names. Opens no connection yet."""
    for option in ("ca_file", "cert_file", "key_file"):
        path = getattr(access, option)
        if path and not Path(path).is_file():
            raise ConfigError(f"[journal] {option}: {path} is not a file; give the path of a PEM file that hanode may read")
    session = requests.Session()
    # Otherwise REQUESTS_CA_BUNDLE in the environment replaces our CA, and a proxy variable sends us elsewhere.
    session.trust_env = False
    session.verify = access.ca_file or True
    if access.cert_file:
        session.cert = (access.cert_file, access.key_file or access.cert_file)
    session.mount(f"{address.scheme}://", Failover(address, access))
    return session


def open_client(address: Address, access: Access) -> Any:
    """An etcd3gw client over such a session."""
    parts = urlsplit(f"{address.scheme}://{address.endpoints[0]}")
    return etcd3gw.client(
        host=parts.hostname, port=parts.port, protocol=address.scheme, api_path=API_PATH, session=open_session(address, access)
    )


class Failover(HTTPAdapter):
    """Sends each request to the first endpoint that takes it, and says truly what became of it.

    - never sent (no connection): the next endpoint is tried; Unreachable when none is left.
    - sent and not answered: a read goes to the next endpoint; anything else raises Ambiguous at once, for a second
      delivery could happen after the first.
    - answered with 4xx: Refused, nothing happened.
    """

    def __init__(self, address: Address, access: Access) -> None:
        super().__init__(max_retries=0)
        self._address = address
        self._access = access
        self._first = 0
        self._token = ""
        self._limit = threading.local()

    @contextmanager
    def within(self, timeout_s: float) -> Iterator[None]:
        """All requests of this thread inside the block together last no longer than this."""
        self._limit.until_s = time.monotonic() + timeout_s
        try:
            yield
        finally:
            del self._limit.until_s

    def send(self, request: PreparedRequest, *_: Any, **options: Any) -> Response:
        until_s = min(time.monotonic() + self._access.timeout_s, getattr(self._limit, "until_s", float("inf")))
        tls = {"verify": options.get("verify", True), "cert": options.get("cert")}
        response = self._deliver(self._signed(request, until_s, tls), until_s, tls)
        if self._access.user and _token_expired(response):
            # etcd checks the token before it looks at the request: nothing happened, so any request may be sent again.
            self._token = ""
            response = self._deliver(self._signed(request, until_s, tls), until_s, tls)
        if response.status_code >= 400:
            raise Refused(f"etcd says no: {_message(response)}")
        return response

    def _signed(self, request: PreparedRequest, until_s: float, tls: dict[str, Any]) -> PreparedRequest:
        signed = request.copy()
        if self._access.user:
            self._token = self._token or self._authenticate(until_s, tls)
            signed.headers["Authorization"] = self._token
        return signed

    def _authenticate(self, until_s: float, tls: dict[str, Any]) -> str:
        body = {"name": self._access.user, "password": self._access.password}
        url = f"{self._address.scheme}://{self._address.endpoints[0]}{API_PATH}auth/authenticate"
        response = self._deliver(requests.Request("POST", url, json=body).prepare(), until_s, tls)
        if response.status_code >= 400:
            raise Refused(f"etcd refuses the user {self._access.user!r} ([journal] user, password): {_message(response)}")
        return cast(str, response.json()["token"])

    def _deliver(self, request: PreparedRequest, until_s: float, tls: dict[str, Any]) -> Response:
        """Try each endpoint once, as long as that cannot make the request happen twice."""
        repeatable = (request.url or "").endswith(READS)
        problems = []
        endpoints = self._in_order()
        for number, endpoint in enumerate(endpoints):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                problems.append(f"no time left for {endpoint}")
                break
            # A member that hangs must not use up the time that a read could be answered in by another.
            read_s = left_s / (len(endpoints) - number) if repeatable else left_s
            try:
                return self._ask(endpoint, request, (min(self._access.connect_timeout_s, left_s), read_s), tls)
            except HanodeError as error:
                self._first = (self._address.endpoints.index(endpoint) + 1) % len(endpoints)
                problems.append(str(error))
                if isinstance(error, Ambiguous) and not repeatable:
                    raise
        raise Unreachable("no etcd endpoint answered: " + "; ".join(problems))

    def _in_order(self) -> tuple[str, ...]:
        endpoints, first = self._address.endpoints, self._first
        return endpoints[first:] + endpoints[:first]

    def _ask(self, endpoint: str, request: PreparedRequest, timeout_s: tuple[float, float], tls: dict[str, Any]) -> Response:
        """One request to one endpoint: its answer (even a refusal), or Unreachable, or Ambiguous."""
        attempt = request.copy()
        attempt.url = urlunsplit(urlsplit(request.url or "")._replace(netloc=endpoint))
        try:
            response = super().send(attempt, stream=True, timeout=timeout_s, **tls)
            response.json()  # the body is read here, so that an answer that breaks off is judged here too
        except RequestException as error:
            if _never_sent(error):
                raise Unreachable(f"{endpoint}: {_reason(error)}") from error
            raise Ambiguous(f"{endpoint}: {_reason(error)}") from error
        except OSError as error:  # requests could not load the TLS files
            raise Unreachable(f"{endpoint}: {error}") from error
        if response.status_code >= 500 or response.status_code in UNANSWERED:
            raise Ambiguous(f"{endpoint}: {response.status_code} {_message(response)}")
        return response


def _never_sent(error: RequestException) -> bool:
    """Only where no connection came about is it certain that etcd got nothing."""
    cause = error.args[0] if error.args else None
    return isinstance(error, ConnectTimeout) or (isinstance(cause, MaxRetryError) and _is_connecting(cause.reason))


def _is_connecting(reason: BaseException | None) -> bool:
    # A certificate that we do not trust ends the handshake before the request; other TLS alerts can come after it.
    return isinstance(reason, NewConnectionError) or "CERTIFICATE_VERIFY_FAILED" in str(reason)


def _reason(error: RequestException) -> str:
    cause = error.args[0] if error.args else error
    return DECORATION.sub("", str(getattr(cause, "reason", None) or cause))


def _token_expired(response: Response) -> bool:
    return response.status_code == 401 or "auth: revision in header is old" in _message(response)


def _message(response: Response) -> str:
    """etcd's own words; newer gateways have dropped the field `error` and kept `message`."""
    body = response.json() if response.status_code >= 400 else {}
    return str(body.get("message") or body.get("error") or body) if isinstance(body, dict) else str(body)
