"""A host that fails again and again: counted on the leader's own clock, and over changes of leader."""

from __future__ import annotations

from hanode.core.decide import decide
from hanode.core.decisions import Decisions, Timers
from hanode.core.draft import Draft
from hanode.core.flapping import WRITTEN_EVERY_S, count, forgive, why_not_by_itself
from hanode.core.model import Moment, Snapshot
from hanode.core.records import Flap, Records, Roster
from hanode.engine import codec
from tests.core.facts import POLICY

WINDOW_S = POLICY.flap_window_s


def draft_of(roster: Roster, now_s: float = 0.0, timers: Timers | None = None) -> Draft:
    return Draft(Snapshot(), Records({}, roster), timers or Timers(now_s), POLICY, Moment(now_s, "2030-01-01T00:00:00Z"))


def tick(now_s: float, roster: Roster, timers: Timers | None = None) -> Decisions:
    return decide(Snapshot(), Records({}, roster), timers or Timers(now_s), POLICY, Moment(now_s, "2030-01-01T00:00:00Z"))


def test_a_host_that_was_fenced_too_often_waits_for_an_operator_whose_word_forgives_it() -> None:
    """`auto` is for hosts that failed once."""
    draft = draft_of(Roster())
    for _ in range(POLICY.flap_incidents):
        assert why_not_by_itself(draft, "c1") is None
        count(draft, "c1")
    assert "fenced 3 times" in (why_not_by_itself(draft, "c1") or "")
    assert why_not_by_itself(draft, "c2") is None
    forgive(draft, "c1")
    assert draft.roster.flaps == {}


def test_it_is_forgotten_after_the_window_and_not_before() -> None:
    """A failure of last month says nothing of today."""
    roster = Roster(flaps={"c1": Flap(2, WINDOW_S)})
    first = tick(0.0, roster)
    assert first.roster is None
    assert tick(WINDOW_S - 1.0, roster, first.timers).roster == Roster(flaps={"c1": Flap(2, 1.0)})
    assert tick(WINDOW_S, roster, first.timers).roster == Roster()


def test_a_change_of_leader_neither_forgets_it_nor_begins_the_window_anew() -> None:
    """The next leader has another clock: it goes on from what was written, at most ten minutes too long."""
    roster = Roster(flaps={"c1": Flap(2, WINDOW_S)})
    written = tick(WRITTEN_EVERY_S, roster, tick(0.0, roster).timers).roster
    assert written is not None and written.flaps["c1"] == Flap(2, WINDOW_S - WRITTEN_EVERY_S)
    left_s = written.flaps["c1"].left_s
    taken_over = tick(7e6, written)
    assert tick(7e6 + left_s - 1.0, written, taken_over.timers).roster != Roster()
    assert tick(7e6 + left_s, written, taken_over.timers).roster == Roster()


def test_the_journal_keeps_it() -> None:
    """It belongs to no incident: the record of each one ends with its release."""
    roster = Roster(flaps={"c1": Flap(2, 3600.0)})
    assert codec.from_text(Roster, "roster", codec.to_text(roster)) == roster
