"""Whenever in a recovery its leader is struck, and the next one too: it ends, once, and an operator is answered meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

import pytest

from hanode.core.lifecycle import HostState, InstanceState
from tests.e2e.play import Play, Servers

HOST = "cn1"
STAGE = {
    "members": 3,
    "servers": 48,
    # Two at a time, so that there is a middle: some are asked for, some are not.
    "settings": {"evacuation": {"max_at_once": 2, "accept_lag_s": 5, "repost_settle_s": 15, "retry_s": 2}},
}
RELEASE = ("host", "release", HOST, "--reason", "new mainboard")

Moment = Callable[[Play, Servers], bool]


def _is_being_fenced(play: Play, _: Servers) -> bool:
    record = play.recovery(HOST)
    return bool(record and record.state is HostState.FENCING and play.offs() and play.stage.state()["hosts"][HOST]["powered"])


def _is_being_posted(play: Play, before: Servers) -> bool:
    return 0 < play.accepted(before) < len(before) and InstanceState.REQUESTED in _states(play)


def _is_being_verified(play: Play, _: Servers) -> bool:
    return InstanceState.MOVED in _states(play)


def _states(play: Play) -> set[InstanceState]:
    record = play.recovery(HOST)
    return {entry.state for entry in record.instances.values()} if record else set()


MOMENTS: Mapping[str, Moment] = {
    "its power-off being under way": _is_being_fenced,
    "its evacuations being posted": _is_being_posted,
    "its instances being put in order": _is_being_verified,
}


def _strike_at_each_moment(play: Play, strike: Callable[[str, int], None]) -> Servers:
    """The host hangs, its power device is slow, and so is Nova: every moment lasts long enough to be met."""
    play.until_ready()
    play.stage.control("bmc", host=HOST, mode="SLOW", seconds=6)
    play.stage.control("fault", call="lock", answer="SLOW", times=100, delay_s=1.0)
    play.stage.control("fault", call="unlock", answer="SLOW", times=100, delay_s=3.0)
    before = play.hang(HOST)
    for what, moment in MOMENTS.items():
        play.until(lambda moment=moment: moment(play, before), what)  # type: ignore[misc] # mypy cannot infer a lambda's default
        struck, term = play.leader, play.term
        strike(struck, term)
        assert play.leader != struck
    play.until_told("Accepted: it is taken back as soon as", *RELEASE)
    return before


@pytest.mark.story(**STAGE)
def test_leaders_that_are_killed_at_every_moment_leave_nothing_undone_and_nothing_done_twice(play: Play) -> None:
    """kill -9 says no goodbye: only what was journaled before each act lets the next leader go on. Then the host is taken back."""

    def kill(leader: str, term: int) -> None:
        play.send(leader, signal.SIGKILL)
        answer = play.cli(*RELEASE)
        assert answer.returncode in {0, 1}, "a leader's answer, or that there is none just now"
        assert answer.stdout + answer.stderr
        play.until_succeeded(term)
        play.restart(leader)

    before = _strike_at_each_moment(play, kill)
    play.until_recovered(before)
    play.judge(before)
    play.stage.control("bmc", host=HOST, mode="OK")
    play.stage.control("kernel_thaw", host=HOST)
    play.stage.control("power_on", host=HOST)
    play.until(lambda: play.is_in_service(HOST), "the host being in service")
    play.judge(before)


@pytest.mark.story(**STAGE)
def test_leaders_that_are_frozen_at_every_moment_do_no_harm_when_they_thaw(play: Play) -> None:
    """A paused process cannot know that it slept; what it was about to do has been done by another."""

    def freeze(leader: str, term: int) -> None:
        play.send(leader, signal.SIGSTOP)
        play.until_succeeded(term)
        said = len(play.log(leader))
        play.send(leader, signal.SIGCONT)
        play.until_said(leader, r"INFO +(standby|candidate)", said)

    before = _strike_at_each_moment(play, freeze)
    play.until_recovered(before)
    play.judge(before)
    play.until(lambda: [play.leads(name) for name in play.stage.daemons].count(True) == 1, "exactly one leader")
