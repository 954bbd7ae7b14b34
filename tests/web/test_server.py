"""How requests are taken: nobody who reads slowly, or not at all, holds up anybody else."""

from __future__ import annotations

import logging
import socket
import threading
from urllib.parse import urlsplit

import pytest
import requests

from hanode.web import server
from hanode.web.server import CONNECTIONS, SILENCE_S, Web
from tests.web.conftest import Played, connect, told

LIMIT_S = 60.0


def test_every_answer_forbids_scripts_of_others(played: Played) -> None:
    """Should a name ever get into the page as HTML, it still cannot run."""
    played.publish(told())
    played.open()
    policy = played.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert played.get("/api/status").headers["X-Content-Type-Options"] == "nosniff"


def test_nothing_can_be_changed_over_the_web(played: Played) -> None:
    """An operator's word needs a name and a reason, and is given with the command."""
    played.publish(told())
    played.open()
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert requests.request(method, f"{played.url}/api/incidents", timeout=LIMIT_S).status_code == 501
    assert requests.head(f"{played.url}/api/status", timeout=LIMIT_S).content == b""


def test_a_client_that_says_nothing_holds_nobody_up(played: Played) -> None:
    """Neither other readers, nor the tick: that one only sets an attribute."""
    played.publish(told())
    played.open()
    silent = [connect(played.url) for _ in range(5)]
    try:
        assert played.get("/healthz").status_code == 200
    finally:
        for one in silent:
            one.close()


def test_too_many_connections_are_closed_and_places_come_free_again(played: Played) -> None:
    """However many there are, the process keeps its threads for its work."""
    played.publish(told())
    played.open()
    greedy = [connect(played.url) for _ in range(CONNECTIONS + 5)]
    assert all(_is_closed(one) for one in greedy[-5:])
    for one in greedy:
        one.close()
    _until_answered(played)


def _is_closed(one: socket.socket) -> bool:
    """Sooner than a silent one that was let in would be."""
    one.settimeout(SILENCE_S / 2)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def _until_answered(played: Played) -> None:
    waiting = threading.Event()
    for _ in range(int(LIMIT_S / 0.05)):
        try:
            if played.get("/healthz").status_code == 200:
                return
        except requests.RequestException:
            waiting.wait(0.05)
    raise AssertionError("no place came free")


def test_who_trickles_is_cut_off(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then would otherwise keep a place for ever."""
    monkeypatch.setattr(server, "CONNECTION_S", 0.5)
    played.publish(told())
    played.open()
    with connect(played.url) as slow:
        slow.sendall(b"GET /healthz HT")
        slow.settimeout(LIMIT_S)
        assert slow.recv(100) == b""


def test_a_closed_port_is_free_again_and_its_thread_ended(played: Played) -> None:
    """`systemctl restart` must find the port free."""
    played.publish(told())
    played.open()
    port = urlsplit(played.url).port
    assert port is not None
    played.web.close()
    with pytest.raises(requests.ConnectionError):
        played.get("/healthz")
    again = Web()
    again.open("127.0.0.1", port)
    again.close()
    assert "web" not in {thread.name for thread in threading.enumerate()}


def test_a_taken_port_is_an_error_of_the_system() -> None:
    """The daemon logs it and goes on watching hosts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError):
            Web().open("127.0.0.1", taken.getsockname()[1])


def test_requests_are_not_written_to_the_log_of_the_night(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    """A scrape each fifteen seconds would bury the story."""
    caplog.set_level(logging.INFO)
    played.publish(told())
    played.open()
    assert played.get("/metrics").status_code == 200
    assert not [r for r in caplog.records if r.name == "hanode.web.server"]
