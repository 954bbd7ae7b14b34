"""What the tests of the web port share: a journal as a leader leaves it, and a web port that reads it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.records import Before, HostRecovery, InstanceRecovery
from hanode.engine.codec import Epoch, Renewal
from hanode.engine.ledger import Ledger
from hanode.sim.etcd import free_ports
from hanode.web.door import Door
from hanode.web.server import Web
from hanode.web.site import Pulse

CLOUD = "http://keystone/v3 one"
HEALTHY = {"verdict": "HEALTHY", "reason": "", "state": "WATCHED", "incident": "", "zone": "az1", "domain": "ceph1", "fenceable": True}
FAILED = {**HEALTHY, "verdict": "FAILED", "reason": "no sign of life: service silent for 61 s", "state": "EVACUATING"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(**more: Any) -> dict[str, Any]:
    """A status as a leader publishes it."""
    hosts = {"cn1": HEALTHY, "cn2": FAILED}
    return {"mode": "act", "holds": [], "hosts": hosts, "exempt": {}, "needs_operator": [], "updated_at": now(), **more}


def entry(name: str, state: InstanceState, **more: Any) -> InstanceRecovery:
    return InstanceRecovery(f"id-{name}", name, state, more.pop("reason", ""), Before("active", "running", False), **more)


def recovery(*entries: InstanceRecovery, host: str = "cn2", state: HostState = HostState.EVACUATING, **more: Any) -> HostRecovery:
    reason = more.pop("reason", "proven off")
    table = {one.instance_id: one for one in entries}
    return HostRecovery(host, f"{host}-1", state, reason, opened_at=now(), instances=table, **more)


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), 30)


@dataclass
class Played:
    """A leader's journal, and the web port of a daemon beside it."""

    journal: SqliteJournal
    web: Web
    url: str = ""

    def publish(self, status: Mapping[str, Any], *records: HostRecovery, renewed_at: str = "") -> None:
        ledger = Ledger(self.journal, CLOUD)
        renewal = Renewal(3, "me", 0, renewed_at or now(), 15.0)
        guard = ledger.take_office(ledger.read_standing(), Epoch(3, "me", "controller1", now()), renewal)
        assert guard is not None
        ledger.load()
        ledger.commit(guard, writes=records, status=status)
        self.web.site.connect(self.journal, CLOUD)
        self.web.site.pulse = Pulse("leader", True, time.monotonic(), 30.0)

    def open(self, door: Door | None = None) -> str:
        """Listen; the address."""
        self.web.door = door or self.web.door
        (port,) = free_ports(1)
        self.web.open("127.0.0.1", port)
        self.url = f"{'https' if self.web.door.tls else 'http'}://127.0.0.1:{port}"
        return self.url

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **options)


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    web = Web()
    yield Played(SqliteJournal(tmp_path / "journal.db", "default"), web)
    web.close()
