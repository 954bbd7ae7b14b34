"""Whatever happens to the daemons and their etcd in the middle of a recovery: it ends, once, by one leader at a time."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from hanode.sim.etcd import Member
from hanode.sim.stage import Process
from tests.e2e.conftest import Opener
from tests.e2e.play import Play

TTL_S = 5.0
SETTINGS = {
    "office": {"lease_ttl_s": TTL_S},
    # Two at a time, so that there is a middle: some are asked for, some are not.
    "evacuation": {"max_at_once": 2, "accept_lag_s": 5, "repost_settle_s": 15, "retry_s": 2},
}


@pytest.fixture(scope="module")
def trio(opened: Opener) -> Play:
    return opened(daemons=3, members=3, hosts=12, servers=48, settings=SETTINGS)


@pytest.fixture
def play(trio: Play) -> Play:
    trio.until_ready()
    return trio


def members_of(play: Play) -> list[Member]:
    assert play.stage.etcd is not None
    return play.stage.etcd.members


def spoken_to(daemon: Process, members: list[Member]) -> Member:
    """The member that this process holds a connection to, as the kernel knows it."""
    inodes = {link.readlink().name for link in _descriptors(daemon.pid)}
    rows = [line.split() for line in _proc(daemon.pid, "net/tcp").splitlines()[1:]]
    ports = {int(row[2].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in inodes}
    return next(member for member in members if member.client_port in ports)


def test_a_leader_that_was_frozen_beyond_its_lease_writes_nothing_when_it_thaws(play: Play) -> None:
    """A paused process cannot know that it slept. It froze after its last look and before a POST; thawed, it must look again."""
    term, frozen = play.term, play.leader
    # Nova locks the instance at once and answers late: in between the leader stands right before the POST.
    play.stage.control("fault", call="lock", answer="SLOW", times=2, delay_s=4.0)
    before = play.cut_power("cn7")
    play.until(lambda: any(s["locked"] for s in play.servers_of("cn7").values()), "the lock before the first POST")
    play.send(frozen, signal.SIGSTOP)
    play.until_succeeded(term)
    thawed_at, log_at = play.now, len(play.log(frozen))
    play.send(frozen, signal.SIGCONT)
    play.until_said(frozen, r"INFO +standby", log_at)
    # The other leader waits repost_settle_s before it asks again: whatever is written until here is the thawed one's.
    assert play.writes(thawed_at) == []
    play.until_recovered(before)
    play.judge(before)
    assert play.leader != frozen
    assert not play.leads(frozen)


def test_the_death_of_the_etcd_member_in_use_is_survived(play: Play) -> None:
    """The other two serve; a recovery does not stop for a machine that hanode does not need."""
    before = play.cut_power("cn2")
    play.until_accepted(before)
    member = spoken_to(play.stage.daemons[play.leader], members_of(play))
    member.stop()
    play.until_recovered(before)
    play.judge(before)
    assert play.stage.etcd is not None
    play.stage.etcd.restart(member)


def test_without_a_quorum_nobody_acts_and_afterwards_exactly_one(play: Play) -> None:
    """Who cannot prove that it leads must not write; and whoever comes back finds the rest to do."""
    before, former = play.cut_power("cn8"), play.leader
    play.until_accepted(before)
    lost = members_of(play)[:2]
    log_at = len(play.log(former))
    for member in lost:
        member.stop()
    play.until_said(former, "journal does not answer", log_at)
    play.until_passed(TTL_S)
    began = play.now
    play.until_passed(TTL_S)
    assert play.writes(began) == []
    assert play.stage.etcd is not None
    for member in lost:
        play.stage.etcd.restart(member)
    play.until_recovered(before)
    play.judge(before)
    play.until(lambda: [play.leads(name) for name in play.stage.daemons].count(True) == 1, "exactly one leader")


def test_asked_to_end_a_leader_hands_over_without_waiting_for_its_lease(play: Play) -> None:
    """A restart for an upgrade must not cost a lease of blindness."""
    term, leader = play.term, play.leader
    others = [name for name in play.stage.daemons if name != leader]
    logs = {name: len(play.log(name)) for name in others}
    for name in others:  # held back, so that the moment in between can be looked at
        play.send(name, signal.SIGSTOP)
    play.send(leader, signal.SIGTERM)
    assert play.stage.daemons[leader].wait() == 0
    epoch = play.standing().epoch
    assert epoch is not None and (epoch.term, epoch.node, epoch.resigned) == (term, leader, True)
    for name in others:
        play.send(name, signal.SIGCONT)
    play.until_succeeded(term)
    assert play.leader in others
    assert not [name for name in others if "takes over in" in play.log(name, logs[name])]
    play.restart(leader)


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _descriptors(pid: int) -> list[Path]:
    return [entry for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
