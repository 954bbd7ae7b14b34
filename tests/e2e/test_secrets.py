"""Where could a secret of a running daemon be seen? In its log at DEBUG, in its arguments, in those of its children."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanode.sim.stage import Settings, Stage
from tests.e2e.play import Play

pytestmark = pytest.mark.e2e

WEBHOOK = "w3bh00k-s3cr3t-token"


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    (tmp_path / "webhook").write_text(WEBHOOK)
    (tmp_path / "webhook").chmod(0o600)
    settings: Settings = {"DEFAULT": {"debug": "true"}, "notifications": {
        "webhook_url": f"http://127.0.0.1:9/{WEBHOOK}", "webhook_secret_file": tmp_path / "webhook"}}
    with Stage(tmp_path, daemons=1, members=0, hosts=3, servers=6, settings=settings) as stage:
        yield Play(stage)


def arguments_of(session: int) -> str:
    """Of the daemon and all that it started, as anybody on the machine sees them."""
    found = ""
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and int((path / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found += (path / "cmdline").read_text()
        except OSError:
            continue  # it has ended
    return found


def test_a_recovery_at_debug_shows_no_secret(play: Play) -> None:
    """Logs are shipped to many, and every user of the machine reads /proc/PID/cmdline."""
    keystone, pid = str(play.stage.settings("d1")["keystone"]["password"]), play.stage.daemons["d1"].pid
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.add(arguments_of(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        play.until_ready()
        play.until_back(play.cut_power("cn1"))
        play.until(lambda: "notification by webhook failed" in play.log("d1"), "a notification that failed")
    finally:
        over.set()
        watcher.join()
    log, told = play.log("d1"), "".join(seen) + (Path("/proc") / str(pid) / "environ").read_text()
    assert "DEBUG" in log and "hanode" in told
    token = [line for line in log.splitlines() if "X-Auth-Token" in line and "{SHA256}" not in line and "***" not in line]
    assert not token
    for secret in (WEBHOOK, f"password: {keystone}", f"password={keystone}", f'"{keystone}"', f"'{keystone}'"):
        assert secret not in log + told
