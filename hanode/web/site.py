"""Which path gets which answer? One table; every answer is ready before its first byte is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hanode import metrics
from hanode.engine.ledger import Ledger
from hanode.engine.report import Report, read_report
from hanode.errors import HanodeError
from hanode.ports import Journal
from hanode.web import api
from hanode.web.window import Window

FILES: Mapping[str, tuple[str, str]] = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True)
class Pulse:
    """How this process is, as its tick loop last said."""

    role: str = "starting"  # "leader" | "standby" | "ending" | "waits for Keystone" ...
    ready: bool = False  # leads, or could take over
    ticked_s: float | None = None  # when the last tick ended, by time.monotonic; None: there was none yet
    limit_s: float = float("inf")  # an older tick than this is a tick that hangs

    def hangs_s(self, now_s: float) -> float | None:
        """For how long nothing has ticked, when that is too long."""
        silent_s = now_s - self.ticked_s if self.ticked_s is not None else 0.0
        return silent_s if silent_s > self.limit_s else None


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Site:
    """`pulse` is set by the tick loop, everything else is read when it is asked for; any thread may ask."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.pulse = Pulse()
        self._clock_s = clock_s
        self._window: Window | None = None
        self._cloud = ""

    def connect(self, journal: Journal, cloud: str) -> None:
        """From now on there is something to read."""
        self._cloud, self._window = cloud, Window(journal)

    def answer(self, target: str) -> Answer:
        parts = urlsplit(target)
        if parts.path in FILES:
            name, kind = FILES[parts.path]
            return Answer(200, kind, resources.files("hanode.web").joinpath(name).read_bytes())
        plain: Mapping[str, Callable[[], Answer]] = {"/metrics": _metrics, "/healthz": self._health, "/readyz": self._readiness}
        if parts.path in plain:
            return plain[parts.path]()
        told: Mapping[str, Callable[[Mapping[str, list[str]]], Any]] = {
            "/api/status": lambda _: self._report().fields(),
            "/api/hosts": lambda _: api.hosts(self._report()),
            "/api/incidents": self._incidents,
            "/api/brake": lambda _: self._report().holds,
            "/api/journal": self._entries,
        }
        if parts.path not in told:
            return _json(404, {"error": f"there is no {parts.path}; there are {', '.join([*FILES, *plain, *told])}"})
        try:
            return _json(200, told[parts.path](parse_qs(parts.query)))
        except HanodeError as error:
            return _json(503, {"error": str(error)})

    # ------------------------------------------------------------------ this process

    def _health(self) -> Answer:
        hangs_s = self.pulse.hangs_s(self._clock_s())
        if hangs_s is not None:
            return _text(503, f"no tick for {hangs_s:.0f} s, and {self.pulse.limit_s:.0f} s are the limit")
        return _text(200, f"alive: {self.pulse.role}")

    def _readiness(self) -> Answer:
        health = self._health()
        if health.status != 200 or self.pulse.ready:
            return _text(200, f"ready: {self.pulse.role}") if health.status == 200 else health
        return _text(503, f"not ready: {self.pulse.role}" + (", and the journal does not answer" if self.pulse.role == "standby" else ""))

    # ------------------------------------------------------------------ what the leader published

    def _ledger(self) -> Ledger:
        if self._window is None:
            raise HanodeError(f"this daemon is not connected to its journal yet: {self.pulse.role}")
        return Ledger(self._window, self._cloud)

    def _report(self) -> Report:
        return read_report(self._cloud, self._ledger(), datetime.now(UTC))

    def _incidents(self, query: Mapping[str, list[str]]) -> Any:
        return api.incidents(self._report(), self._ledger().read_history() if "all" in query else ())

    def _entries(self, query: Mapping[str, list[str]]) -> Any:
        """The keys themselves: by them the reading commands of a far `hanode` work as on a controller."""
        self._ledger()
        assert self._window is not None
        return [asdict(entry) for entry in self._window.read(query.get("prefix", [""])[0])]


def _metrics() -> Answer:
    return Answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.REGISTRY))


def _text(status: int, sentence: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{sentence}\n".encode())


def _json(status: int, value: Any) -> Answer:
    return Answer(status, "application/json", json.dumps(value, sort_keys=True).encode())
