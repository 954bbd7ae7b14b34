"""How is an HTTP endpoint told, so that it can be sure who speaks, and when?

POST of a JSON body with `X-Hanode-Timestamp` (Unix seconds) and `X-Hanode-Signature: v1=<hex>`, the HMAC-SHA256 of
"<timestamp>.<body>" with the shared secret. The address may itself be a secret (chat systems put a token into it), so that no
message names more of it than the host.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from hanode.adapters.notify.message import Sender, body_of, idempotency_key
from hanode.adapters.rest import cause_of, never_connected
from hanode.core.news import News
from hanode.errors import Ambiguous, ConfigError, Refused, Unreachable

LATER = frozenset({408, 425, 429})
"""4xx that mean: not now."""


@dataclass(frozen=True)
class WebhookSettings:
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    ca_file: str = ""
    timeout_s: float = 5.0


def signature(secret: str, timestamp: str, body: bytes) -> str:
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()


class Webhook:
    name = "webhook"

    def __init__(self, settings: WebhookSettings, sender: Sender, now_s: Callable[[], float] = time.time) -> None:
        """ConfigError when the address is none."""
        host = _host_of(settings.url)
        if host is None:
            raise ConfigError("[notifications] webhook_url is not an http:// or https:// address with a host")
        if settings.ca_file and not Path(settings.ca_file).is_file():
            raise ConfigError(f"[notifications] webhook_ca_file: there is no file {settings.ca_file}")
        self._settings, self._sender, self._now_s, self._host = settings, sender, now_s, host
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc of whoever started us
        self._session.verify = settings.ca_file or True

    def deliver(self, news: News, ended: Callable[[], bool]) -> None:  # noqa: ARG002 - bounded by its own timeout
        body, timestamp = body_of(news, self._sender), str(int(self._now_s()))
        headers = {"Content-Type": "application/json", "User-Agent": "hanode", "Idempotency-Key": idempotency_key(news, self._sender),
                   "X-Hanode-Timestamp": timestamp}
        if self._settings.secret:
            headers["X-Hanode-Signature"] = signature(self._settings.secret, timestamp, body)
        try:
            # stream: a receiver that trickles an endless answer is not listened to; its status line is all that we need.
            with self._session.post(self._settings.url, data=body, headers=headers, timeout=self._settings.timeout_s,
                                    allow_redirects=False, stream=True) as response:
                status = response.status_code
        except (requests.RequestException, OSError) as error:
            kind = Unreachable if never_connected(error) else Ambiguous
            raise kind(f"{self._host}: {self._without_address(cause_of(error))}") from error
        if status >= 500 or status in LATER:
            raise Unreachable(f"{self._host} answered {status}")
        if not 200 <= status < 300:
            raise Refused(f"{self._host} answered {status}: look at [notifications] webhook_url and webhook_secret_file")

    def _without_address(self, text: str) -> str:
        """Some libraries repeat the whole address in their errors."""
        parts = urlsplit(self._settings.url)
        for secret in (self._settings.url, parts.query, parts.path):
            if len(secret) > 1:
                text = text.replace(secret, "...")
        return text


def _host_of(url: str) -> str | None:
    """Scheme and host, or None; never more, because the rest may be a secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.scheme in {"http", "https"} and parts.hostname else None
