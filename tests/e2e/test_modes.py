"""What does mode observe write, and how is a running daemon armed? Each test goes on from where the one before ended."""

from __future__ import annotations

import re
import signal

import pytest

from tests.e2e.conftest import Opener
from tests.e2e.play import Play


@pytest.fixture(scope="module")
def play(opened: Opener) -> Play:
    play = opened(daemons=3, members=3, settings={"DEFAULT": {"mode": "observe"}, "brake": {"hosts": 8}})
    play.until_ready()
    return play


def reload(play: Play, change: tuple[str, str]) -> None:
    for name in play.stage.daemons:
        conf = play.stage.conf_file(name)
        conf.write_text(re.sub(*change, conf.read_text()))
        play.send(name, signal.SIGHUP)


def test_mode_observe_sees_everything_and_writes_nothing(play: Play) -> None:
    """For the first weeks: what would have been done is in the log, and the cloud was not touched."""
    before = play.cut_power("cn1")
    play.until_said(play.leader, r"ALARM cn1: would be powered off now \(mode observe\)")
    play.until(lambda: bool(play.status()["hosts"]["cn1"]["incident"]), "the would-be incident")
    play.until_passed(5.0)
    assert play.writes() == []
    assert play.servers_of("cn1").keys() == before.keys()
    assert play.told()["sentences"][0].startswith("hanode only OBSERVES")


def test_a_file_that_is_wrong_changes_nothing_and_is_named(play: Play) -> None:
    """A typing error must neither disarm nor end a running daemon."""
    reload(play, ("mode = observe", "mode = act\nmood = good"))
    for name in play.stage.daemons:
        said = rf"reload: nothing was changed: \S*/{name}\.conf: \[DEFAULT\] mood is not an option; did you mean mode\?"
        play.until_said(name, said)
    began = play.now
    play.until_passed(3.0)
    assert play.status()["mode"] == "observe"
    assert play.writes(began) == []


def test_arming_takes_effect_without_a_restart(play: Play) -> None:
    """From the next tick on, by whoever leads."""
    reload(play, (r"\nmood = good", ""))
    for name in play.stage.daemons:
        play.until_said(name, "reload: done; mode act")
    play.until(lambda: play.status().get("mode") == "act", "the leader being armed")
    before = play.cut_power("cn2")
    play.until_recovered(before)
    play.judge(before)
    assert all(daemon.runs for daemon in play.stage.daemons.values())
