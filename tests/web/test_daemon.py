"""The web port of a real daemon: there from the first second, read again on SIGHUP, gone with the process."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from hanode.sim.etcd import free_ports
from hanode.sim.stage import Process, Stage, ini
from tests.e2e.play import Play
from tests.web.locks import passwords

pytestmark = pytest.mark.e2e


def get(port: int, path: str, **options: object) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=30, **options)  # type: ignore[arg-type] # passed on as they are


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Play, int]]:
    (port,) = free_ports(1)
    with Stage(tmp_path_factory.mktemp("stage"), daemons=1, members=0, hosts=3, servers=3, settings={"web": {"port": port}}) as stage:
        play = Play(stage)
        play.until_ready()
        yield play, port


def change(play: Play, **web: object) -> None:
    """A new configuration file and SIGHUP; returns when the daemon has read it."""
    said = len(play.log("d1"))
    conf = play.stage.conf_file("d1")
    settings = play.stage.settings("d1")
    conf.write_text(ini({**settings, "web": {**settings["web"], **web}}))
    play.send("d1", signal.SIGHUP)
    play.until_said("d1", "reload: (done|nothing)", said)


def test_a_daemon_that_waits_says_so_from_its_first_second_on(tmp_path: Path) -> None:
    """Whoever restarts a controller learns why it is not ready."""
    (port,) = free_ports(1)
    conf = tmp_path / "hanode.conf"
    conf.write_text(ini({
        "journal": {"url": f"sqlite://{tmp_path}/j.db"}, "fencing": {"config_file": ""}, "web": {"port": port},
        "keystone": {"auth_url": "http://127.0.0.1:9", "username": "u", "password": "s3cr3t"},
    }))
    stage = Stage(tmp_path, daemons=1, members=0)
    daemon = Process("waiting", [sys.executable, "-m", "hanode", "run", "--config-file", str(conf)], tmp_path)
    try:
        daemon.start()
        Play(stage).until(lambda: answers(port) and "Keystone" in get(port, "/readyz").text, "it saying for whom it waits")
        assert get(port, "/readyz").status_code == 503 and get(port, "/healthz").status_code == 200
        assert "hanode_leader 0.0" in get(port, "/metrics").text
        assert "s3cr3t" not in get(port, "/metrics").text
    finally:
        daemon.close()


def test_a_leader_is_healthy_ready_and_tells_its_hosts(led: tuple[Play, int]) -> None:
    """The whole way: engine, journal, window, JSON."""
    play, port = led
    assert get(port, "/healthz").text == "alive: leader\n" and get(port, "/readyz").text == "ready: leader\n"
    assert json.loads(get(port, "/api/status").text)["leader"] == "d1"
    assert [host["verdict"] for host in json.loads(get(port, "/api/hosts").text)] == ["HEALTHY"] * 3
    assert "hanode_ready 1.0" in get(port, "/metrics").text
    assert play.leads("d1")


def test_passwords_are_asked_for_after_sighup_and_a_broken_file_changes_nothing(led: tuple[Play, int], tmp_path: Path) -> None:
    """A typing error must neither open the door nor stop the daemon."""
    play, port = led
    file = passwords(tmp_path, noc="s3cr3t")
    change(play, password_file=file)
    assert (get(port, "/api/status").status_code, get(port, "/api/status", auth=("noc", "s3cr3t")).status_code) == (401, 200)
    Path(file).write_text("noc:plain\n")
    change(play, password_file=file)
    assert get(port, "/api/status").status_code == 401, "as before"
    assert "has no bcrypt hash" in play.log("d1")
    change(play)
    assert get(port, "/api/status").status_code == 200


def test_readers_that_hang_keep_neither_ticks_nor_the_end_waiting(led: tuple[Play, int]) -> None:
    """Forty silent connections, and still the office is renewed, and `systemctl stop` ends at once."""
    play, port = led
    silent = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(40)]
    try:
        first = play.standing().renewal
        assert first is not None
        play.until(lambda: (now := play.standing().renewal) is not None and now.count > first.count + 2, "three more renewals")
        play.send("d1", signal.SIGTERM)
        assert play.stage.daemons["d1"].wait(60) == 0
        assert not answers(port)
    finally:
        for one in silent:
            one.close()
