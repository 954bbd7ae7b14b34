"""All parts of the daemon together: the real engine, journal, lock and command line; only the cloud is played."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from hanode import daemon
from hanode.adapters.systemd import Systemd
from hanode.cli.main import main
from hanode.conf import build
from hanode.core.facts import Fleet, Host, Hypervisor, Service
from hanode.errors import Unreachable

LIMIT_S = 60.0


class QuietCloud:
    """Two hosts that are up, and nothing happens."""

    def identity(self) -> str:
        return "http://keystone/v3 one"

    def read_fleet(self) -> Fleet:
        control = tuple(Service(name, f"nova-{name}", "controller1", "up") for name in ("conductor", "scheduler"))
        return Fleet({name: self._host(name) for name in ("compute1", "compute2")}, control)

    def __getattr__(self, name: str) -> Any:
        def unanswered(*_: object) -> None:
            raise Unreachable(f"{name} is not played")

        return unanswered

    def _host(self, name: str) -> Host:
        service = Service(f"s-{name}", "nova-compute", name, "up", updated_at="2026-03-09T03:15:00")
        return Host(name, service, Hypervisor(name, "QEMU", "127.0.0.1", f"p-{name}"))


def status(config: Path) -> dict[str, Any]:
    stdout = io.StringIO()
    main(["status", "-f", "json", "--config-file", str(config)], stdout=stdout)
    read: dict[str, Any] = json.loads(stdout.getvalue() or "{}")
    return read


def test_a_daemon_takes_office_tells_its_status_and_hands_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the parts promise each other is kept: configuration, office, tick, published status, command line, resignation."""
    config = tmp_path / "hanode.conf"
    config.write_text(f"[DEFAULT]\nhost_id = controller1\n[fencing]\nconfig_file =\n[journal]\nurl = sqlite://{tmp_path}/j.db\n"
                      "[detection]\npoll_s = 0.5\n")
    monkeypatch.setattr(daemon, "open_cloud", lambda _: QuietCloud())
    caplog.set_level("INFO")
    running = daemon.Daemon(build.load([str(config)]), daemon.wire, Systemd({}))
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(running.run()))
    thread.start()
    try:
        waiting = threading.Event()
        for _ in range(int(LIMIT_S / 0.1)):
            told = status(config)
            if told.get("hosts") == 2:
                break
            waiting.wait(0.1)
        assert (told["leader"], told["mode"], told["hosts"]) == ("controller1", "observe", 2)
        assert told["cloud"] == "http://keystone/v3 one"
    finally:
        running.stop()
        thread.join(LIMIT_S)
    assert codes == [0]
    assert any("leader (term 1), mode observe" in record.message for record in caplog.records)
    resigned = status(config)
    assert resigned["stale"] is True
    assert "controller1 has resigned (term 1)" in resigned["sentences"][0]
