"""An operator's pause: taken, running out on the leader's own clock, and kept over a change of leader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decide import decide
from hanode.core.decisions import Decisions, Timers
from hanode.core.model import Age, Command, Moment, Snapshot
from hanode.core.records import Records, Roster
from hanode.engine import codec
from tests.core.facts import POLICY

FOR_S = 7200.0


def told(verb: str, for_s: float = 0.0) -> Command:
    return Command("c1", verb, "", "ann", "new firmware", "t", 60.0, for_s=for_s)


def tick(now_s: float, roster: Roster, timers: Timers | None = None, **snapshot: object) -> Decisions:
    given = Snapshot(**snapshot)  # type: ignore[arg-type]
    return decide(given, Records({}, roster), timers or Timers(now_s), POLICY, Moment(now_s, "2030-01-01T00:00:00Z"))


def roster_after(made: Decisions, before: Roster) -> Roster:
    return made.roster if made.roster is not None else before


def test_a_pause_holds_in_the_very_tick_in_which_it_is_taken_and_before_anybody_could_look_at_nova() -> None:
    """It may be given because Nova is about to go away."""
    made = tick(0.0, Roster(), commands=(told("pause", FOR_S),))
    assert made.answers[0].accepted
    assert made.holds[0].name == "OPERATOR_PAUSE"
    assert made.roster is not None and "ann" in made.roster.paused and "new firmware" in made.roster.paused


@pytest.mark.parametrize("for_s", [0.0, -1.0, float("nan"), 8 * 86400.0])
def test_a_pause_that_does_not_end_by_itself_is_refused(for_s: float) -> None:
    """A forgotten pause is a cloud without protection."""
    made = tick(0.0, Roster(), commands=(told("pause", for_s),))
    assert not made.answers[0].accepted and made.roster is None


def test_a_command_that_is_too_old_pauses_nothing() -> None:
    """Somebody has long resumed, or never wanted it any more."""
    made = tick(0.0, Roster(), commands=(told("pause", FOR_S),), ages={"c1": Age(expired="it was given too long ago")})
    assert not made.answers[0].accepted and made.roster is None


def test_a_change_of_leader_neither_ends_nor_shortens_a_pause() -> None:
    """The next leader has another clock: it goes on from what was written, at most a minute too much."""
    roster = Roster(paused="paused by ann: new firmware", paused_s=100.0)
    first = tick(0.0, roster)
    second = tick(61.0, roster, first.timers)
    written = roster_after(second, roster)
    assert written.paused_s == pytest.approx(39.0), "written down each minute"
    after = tick(5000.0, written)
    assert after.holds[0].name == "OPERATOR_PAUSE" and roster_after(after, written) == written
    assert after.wake_s <= 5039.0
    over = tick(5039.0, written, after.timers)
    assert "OPERATOR_PAUSE" not in [hold.name for hold in over.holds]
    assert roster_after(over, written).paused == ""


def test_who_fell_silent_under_a_pause_stays_held_when_it_ends() -> None:
    """A hold never ends into a shooting; whoever resumes is told whom to look at."""
    roster = Roster(held={"c3": "operator:OPERATOR_PAUSE"}, paused="paused by ann: new firmware", paused_s=100.0)
    resumed = tick(0.0, roster, commands=(told("resume"),))
    assert "c3" in resumed.answers[0].text and roster_after(resumed, roster).held == roster.held
    ran_out = tick(100.0, roster, tick(0.0, roster).timers)
    assert roster_after(ran_out, roster).held == roster.held
    assert any(note.event == "pause" and "c3" in note.text for note in ran_out.notes)


def test_there_is_nothing_to_resume_without_a_pause() -> None:
    """An operator who believes that hanode was paused learns that it was not."""
    assert not tick(0.0, Roster(), commands=(told("resume"),)).answers[0].accepted


def test_a_roster_of_an_older_version_is_one_without_a_pause() -> None:
    """An upgrade must not stop at the journal."""
    paused = Roster(seen=frozenset({"c1"}), paused="paused", paused_s=60.0)
    assert codec.from_text(Roster, "roster", codec.to_text(paused)) == paused
    older = '{"held":{},"quarantined":{},"schema":1,"seen":["c1"]}'
    assert codec.from_text(Roster, "roster", older) == replace(paused, paused="", paused_s=0.0)
