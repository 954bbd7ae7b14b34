"""How does a machine without the journal's password read it? Through the web port of any daemon; nothing can be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from hanode.errors import Refused, Unreachable
from hanode.ports import Entry, Transaction


@dataclass(frozen=True)
class Endpoint:
    url: str  # may name a user: https://noc@controller1:9732
    password_file: str = ""
    ca_file: str = ""
    timeout_s: float = 10.0


class WebJournal:
    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Refused(f"--endpoint {endpoint.url}: is not an address such as http://controller1:9732")
        self._endpoint = endpoint
        self._url = endpoint.url.replace(f"{parts.username}@", "", 1).rstrip("/") + "/api/journal"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc: asked is exactly who was named
        self._session.verify = endpoint.ca_file or True
        if parts.username:
            self._session.auth = (parts.username, self._password())

    def _password(self) -> str:
        file = self._endpoint.password_file
        if not file:
            raise Refused(f"--endpoint {self._endpoint.url}: names a user, so --endpoint-password-file is needed")
        try:
            return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"--endpoint-password-file {file}: cannot be read: {error}") from error

    def read(self, prefix: str) -> tuple[Entry, ...]:
        try:
            response = self._session.get(self._url, params={"prefix": prefix}, timeout=self._endpoint.timeout_s)
            told = response.json() if response.headers.get("Content-Type") == "application/json" else None
        except (requests.RequestException, ValueError, OSError) as error:
            raise Unreachable(f"{self._url} does not answer: {error}") from error
        if response.status_code in {401, 403}:
            raise Refused(f"{self._url} asks for a user and password: write them as https://USER@HOST:PORT and --endpoint-password-file")
        if response.status_code != 200 or told is None:
            why = told["error"] if told else f"{response.status_code} {response.reason}"
            raise Unreachable(f"{self._url} cannot tell: {why}")
        try:
            return tuple(Entry(entry["key"], entry["value"], entry["revision"]) for entry in told)
        except (KeyError, TypeError) as error:
            raise Unreachable(f"{self._url} answers with something unexpected: {type(error).__name__} {error}") from error

    def revisions(self, prefix: str) -> dict[str, int]:
        return {entry.key: entry.revision for entry in self.read(prefix)}

    def commit(self, transaction: Transaction) -> bool:  # noqa: ARG002 - the port has it
        raise Refused("an --endpoint only reads: give your word on a controller")
