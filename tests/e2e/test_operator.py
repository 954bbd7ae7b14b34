"""What a person sees and types when hanode cannot go on alone, and after: one long night, told in order.

Each test goes on from where the one before ended.
"""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Opener
from tests.e2e.play import Play, Servers

HOST = "cn1"
FENCE_AFTER_S = 8.0
SETTINGS = {
    "fencing": {"attempts": 1, "timeout_s": 3, "settle_s": 120},
    "detection": {"fence_after_s": FENCE_AFTER_S},
    "evacuation": {"home_watch_s": 10},
}
OK, ATTENTION, CRITICAL = 0, 1, 2
WORDS = ("--yes", "--reason", "went there and looked")


@pytest.fixture(scope="module")
def play(opened: Opener) -> Play:
    play = opened(daemons=3, members=3, settings=SETTINGS)
    play.until_ready()
    return play


@pytest.fixture(scope="module")
def before(play: Play) -> Servers:
    """The host's servers as they were."""
    return play.servers_of(HOST)


def test_all_is_well_before(play: Play, before: Servers) -> None:
    """Monitoring is green when nothing is wrong, or nobody looks at it."""
    assert play.check() == OK
    assert play.told()["sentences"][0].startswith("hanode is ARMED")
    assert play.told()["sentences"][-1] == "You need not type anything."


def test_a_power_device_that_lies_makes_a_person_needed(play: Play, before: Servers) -> None:
    """Off was accepted and reads on: the guests may well run. Nothing is evacuated, and monitoring says critical."""
    play.stage.control("bmc", host=HOST, mode="LIES")
    play.stage.control("kernel_freeze", host=HOST)
    play.until(lambda: play.host(HOST).get("state") == "NEEDS_OPERATOR", "a person being asked")
    assert play.offs() == [HOST]
    assert play.accepted(before) == 0
    assert play.check() == CRITICAL
    assert any(f"hanode host confirm-fenced {HOST}" in sentence for sentence in play.told()["sentences"])


def test_a_confirmation_is_refused_while_the_host_answers(play: Play, before: Servers) -> None:
    """A person at the wrong rack, at three in the morning: the leader looks for itself."""
    play.stage.control("kernel_thaw", host=HOST)
    play.until(lambda: play.host(HOST).get("verdict") == "HEALTHY", "the host living again")
    answer = play.cli("host", "confirm-fenced", HOST, *WORDS)
    assert (answer.returncode, answer.stderr.strip()) == (1, "Refused by the leader: it lives: its service reports")
    assert play.host(HOST)["state"] == "NEEDS_OPERATOR"
    assert play.accepted(before) == 0


def test_a_confirmation_without_a_reason_or_of_another_host_is_refused(play: Play) -> None:
    """The reason is all that is left to read in the morning."""
    answer = play.cli("host", "confirm-fenced", HOST, "--yes")
    assert answer.returncode == 1 and "--reason TEXT is needed" in answer.stderr
    answer = play.cli("host", "confirm-fenced", "cn2", *WORDS)
    assert answer.returncode == 1 and "cn2 does not wait for an operator" in answer.stderr
    answer = play.cli("host", "confirm-fenced", "cn", *WORDS)
    assert answer.returncode == 1 and "cn is not a compute host that the leader knows" in answer.stderr


def test_a_confirmed_dead_host_is_evacuated(play: Play, before: Servers) -> None:
    """The cable is pulled, so the device is dead as well: only the person's word can say it."""
    play.stage.control("mains_cut", host=HOST)
    play.until(lambda: play.host(HOST).get("verdict") in {"SUSPECT", "FAILED"}, "the host falling silent")
    answer = play.cli("host", "confirm-fenced", HOST, *WORDS)
    assert (answer.returncode, answer.stdout.splitlines()[-1]) == (
        0, "Accepted: taken as dead on your word; its instances are being evacuated"), answer.stderr
    play.until_recovered(before)
    play.judge(before)
    assert any("went there and looked" in play.log(name) for name in play.stage.daemons)
    play.until(lambda: play.check() == ATTENTION, "monitoring being calm but not green")


def test_a_repaired_host_is_taken_back_when_an_operator_says_so(play: Play, before: Servers) -> None:
    """It cleaned up what Nova evacuated from it; before that, taking it back could destroy guests."""
    play.stage.control("bmc", host=HOST, mode="OK")
    play.stage.control("mains_restore", host=HOST, powers_on=True)
    play.until(lambda: play.host(HOST).get("state") == "RELEASING", "the host being back")
    answer = play.cli("host", "release", HOST, "--reason", "new mainboard")
    assert answer.returncode == 0, answer.stderr
    play.until(lambda: play.is_in_service(HOST), "the host being in service")
    records = [m for m in play.stage.state()["migrations"] if m["source"] == HOST]
    assert {m["instance"] for m in records} == set(before) and {m["status"] for m in records} == {"completed"}
    play.judge(before)
    play.until(lambda: play.check() == OK, "monitoring being green")
    assert "released" in play.cli("incident", "list", "--all").stdout


def test_a_frozen_message_bus_costs_no_host(play: Play) -> None:
    """All heartbeats stop while all guests run: the worst night for a tool that shoots what is silent."""
    began = play.now
    play.stage.control("fail", part="RABBIT")
    play.until(lambda: not any(h["up"] for h in play.stage.state()["hosts"].values()), "Nova calling every host down")
    play.until_passed(FENCE_AFTER_S)
    assert play.writes(began) == []
    assert play.check() == ATTENTION
    assert "STALE_TOGETHER" in play.cli("brake", "show").stdout
    play.stage.control("restore", part="RABBIT")
    play.until(play.is_ready, "all being well again")
    assert {h["verdict"] for h in play.status()["hosts"].values()} == {"HEALTHY"}
    assert play.offs(began) == []
    play.until(lambda: play.check() == OK, "monitoring being green")
