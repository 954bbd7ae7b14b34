"""What does every lock promise to those who may try to lead?"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from hanode.adapters.etcd_client import Access
from hanode.adapters.leadership import EtcdLeadership, open_leadership
from hanode.errors import Ambiguous, ConfigError, HanodeError, Unreachable
from hanode.ports import Leadership
from tests.contract.conftest import fresh_cluster_id
from tests.contract.etcd_cluster import EtcdCluster, wait_until
from tests.contract.journals import PATIENT, RudeServer, closed_port

TTL_S = 60.0
"""So long that no lease ends by itself in a test, however slow the machine is."""

SHORT_TTL_S = 3.0
"""For the other process, whose lease has to end."""

Candidate = Callable[[str], Leadership]


@pytest.fixture
def cluster_id() -> str:
    return fresh_cluster_id()


@pytest.fixture(params=["sqlite", "file", "etcd"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URLs that a configuration may name."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'journal.db'}"
    if request.param == "file":
        return f"file://{tmp_path / 'locks'}"
    cluster: EtcdCluster = request.getfixturevalue("etcd")
    return cluster.url


@pytest.fixture
def candidate(url: str, cluster_id: str) -> Iterator[Candidate]:
    opened: list[Leadership] = []

    def build(node: str) -> Leadership:
        opened.append(open_leadership(url, cluster_id, node, TTL_S, PATIENT))
        return opened[-1]

    yield build
    for one in opened:
        one.resign()


# --------------------------------------------------------------------------- what holds for all of them


def test_of_two_candidates_exactly_one_holds(candidate: Candidate) -> None:
    """Whoever comes first, for as long as it goes on asking."""
    first, second = candidate("n1"), candidate("n2")
    for _ in range(5):
        assert first.hold()
        assert not second.hold()


def test_resigning_hands_over_at_once(candidate: Candidate) -> None:
    """A planned restart must not cost a TTL."""
    first, second = candidate("n1"), candidate("n2")
    assert first.hold()
    assert not second.hold()
    first.resign()
    assert second.hold()
    assert not first.hold()


def test_resigning_twice_or_without_the_lock_is_harmless(candidate: Candidate) -> None:
    """It is called on every way out of the daemon."""
    first, second = candidate("n1"), candidate("n2")
    first.resign()
    assert first.hold()
    second.resign()
    assert first.hold()
    first.resign()
    first.resign()
    assert second.hold()


def test_clouds_do_not_compete(url: str) -> None:
    """Two clouds may share one etcd."""
    one, two = (open_leadership(url, fresh_cluster_id(), "n1", TTL_S, PATIENT) for _ in range(2))
    assert one.hold()
    assert two.hold()
    one.resign()
    two.resign()


def test_a_killed_holder_frees_the_lock(candidate: Candidate, url: str, cluster_id: str) -> None:
    """kill -9: the lease runs out, or the kernel lets the file go."""
    with Holder(url, cluster_id) as holder:
        holder.expect("True")
        waiting = candidate("n2")
        assert not waiting.hold()
        holder.process.kill()
        wait_until(waiting.hold, 60, "the lock of a killed holder being free")


# --------------------------------------------------------------------------- etcd


def test_a_holder_that_was_frozen_beyond_its_lease_sees_that_it_lost(etcd: EtcdCluster, cluster_id: str) -> None:
    """The trap of tooz's own lock: it would say for ever that it is acquired."""
    other = open_leadership(etcd.url, cluster_id, "n2", TTL_S, PATIENT)
    with Holder(etcd.url, cluster_id) as holder:
        holder.expect("True")
        holder.process.send_signal(signal.SIGSTOP)
        wait_until(other.hold, 60, "the lock of a frozen holder being free")
        holder.process.send_signal(signal.SIGCONT)
        holder.expect("False")
        assert other.hold()
    other.resign()


def test_a_lease_that_is_revoked_by_hand_is_noticed_and_the_lock_taken_anew(etcd: EtcdCluster, cluster_id: str) -> None:
    """Lost in an instant: False once, then a candidate like any other."""
    leadership = open_leadership(etcd.url, cluster_id, "n1", TTL_S, PATIENT)
    assert leadership.hold()
    for lease in leases(etcd):
        ask(etcd, "kv/lease/revoke", ID=lease)
    assert not leadership.hold()
    assert leadership.hold()
    leadership.resign()


def test_waiting_for_a_lock_spends_no_leases(etcd: EtcdCluster, cluster_id: str) -> None:
    """tooz leaks one lease per failed try; a standby that polls for months must not."""
    holder, waiting = (open_leadership(etcd.url, cluster_id, node, TTL_S, PATIENT) for node in ("n1", "n2"))
    assert holder.hold()
    before = leases(etcd)
    for _ in range(20):
        assert not waiting.hold()
    assert leases(etcd) <= before
    holder.resign()


def test_a_try_that_came_second_revokes_its_lease(etcd: EtcdCluster, cluster_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw the lock free; the slower one leaves nothing behind."""
    holder, slow = (open_leadership(etcd.url, cluster_id, node, TTL_S, PATIENT) for node in ("n1", "n2"))
    assert isinstance(slow, EtcdLeadership)
    assert holder.hold()
    before = leases(etcd)
    with monkeypatch.context() as patch:
        patch.setattr(slow._client, "get", lambda *_, **__: [])
        assert not slow.hold()
    assert leases(etcd) <= before
    holder.resign()


def test_resigning_leaves_neither_key_nor_lease(etcd: EtcdCluster, cluster_id: str) -> None:
    before = leases(etcd)
    leadership = open_leadership(etcd.url, cluster_id, "n1", TTL_S, PATIENT)
    assert leadership.hold()
    leadership.resign()
    assert leases(etcd) <= before


def test_an_answer_that_was_lost_is_learned_by_reading_back(
    etcd: EtcdCluster, cluster_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock was taken, the answer never came: the key carries our own uuid, so it is ours."""
    leadership = open_leadership(etcd.url, cluster_id, "n1", TTL_S, PATIENT)
    assert isinstance(leadership, EtcdLeadership)
    transaction = leadership._client.transaction

    def lose_the_answer(body: object) -> None:
        transaction(body)
        raise Ambiguous("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(leadership._client, "transaction", lose_the_answer)
        assert leadership.hold()
    assert leadership.hold()
    leadership.resign()


def test_without_etcd_it_raises_and_resigning_still_does_not() -> None:
    with closed_port() as nobody:
        leadership = open_leadership(f"etcd3+http://{nobody}", "test", "n1", TTL_S)
        with pytest.raises(Unreachable):
            leadership.hold()
        leadership.resign()


def test_a_holder_cut_off_raises_and_resigning_still_does_not(tmp_path: Path) -> None:
    """On the way out with etcd frozen: the lease ends by itself."""
    with EtcdCluster(tmp_path / "etcd") as cluster:
        leadership = open_leadership(cluster.url, "test", "n1", TTL_S, Access(timeout_s=1.0))
        wait_until(lambda: _holds(leadership), 30, "the lock being taken")
        cluster.members[0].signal(signal.SIGSTOP)
        with pytest.raises((Unreachable, Ambiguous)):
            leadership.hold()
        leadership.resign()


def _holds(leadership: Leadership) -> bool:
    try:
        return leadership.hold()
    except HanodeError:
        return False


def test_hold_is_limited_as_a_whole_and_not_by_each_request() -> None:
    """A tick must not hang in one call: the limit counts over all requests and endpoints of a hold."""
    with RudeServer("silence") as one, RudeServer("silence") as two:
        leadership = open_leadership(f"etcd3+http://{one.endpoint},{two.endpoint}", "test", "n1", TTL_S, Access(timeout_s=1.0))
        with pytest.raises(Unreachable):
            leadership.hold()
        assert (one.requests, two.requests) == (1, 1)


def test_a_changed_tooz_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Private names are used; the day they change, the daemon says so instead of leading by chance."""
    monkeypatch.setattr("tooz.drivers.etcd3gw.Etcd3Driver.get_lock", lambda *_: object())
    with pytest.raises(ConfigError, match=r"tooz has changed.*_key, _uuid"):
        open_leadership("etcd3+http://h1:2379", "test", "n1", TTL_S)


def test_a_url_that_tooz_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing://here"):
        open_leadership("nothing://here", "test", "n1", TTL_S)


def ask(cluster: EtcdCluster, path: str, **body: object) -> dict[str, list[dict[str, str]]]:
    answer = requests.post(f"http://{cluster.members[0].endpoint}/v3/{path}", json=body, timeout=30)
    answer.raise_for_status()
    result: dict[str, list[dict[str, str]]] = answer.json()
    return result


def leases(cluster: EtcdCluster) -> set[str]:
    return {lease["ID"] for lease in ask(cluster, "lease/leases").get("leases", [])}


# --------------------------------------------------------------------------- another process


class Holder:
    """Another process that holds the lock and says at each beat whether it still does."""

    def __init__(self, url: str, cluster_id: str) -> None:
        command = [sys.executable, "-m", "tests.contract.test_leadership", url, cluster_id]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.append(line.strip())

    def expect(self, word: str) -> None:
        wait_until(lambda: word in self._said, 60, f"the other process saying {word}")

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _main(url: str, cluster_id: str) -> None:
    leadership = open_leadership(url, cluster_id, "holder", SHORT_TTL_S, PATIENT)
    pause = threading.Event()
    until_s = time.monotonic() + 120  # an orphan ends by itself
    while time.monotonic() < until_s:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"{leadership.hold()}\n")
            sys.stdout.flush()
        pause.wait(0.2)


if __name__ == "__main__":
    _main(*sys.argv[1:])
