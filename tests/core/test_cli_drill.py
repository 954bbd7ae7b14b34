"""`hanode drill`: what is refused before anything is asked of the cloud, and what `hanode status` says meanwhile."""

from __future__ import annotations

import pytest

from hanode.cli.drill import phases
from hanode.core.lifecycle import DrillState
from hanode.core.records import Drill, Roster
from tests.core.cli_stage import Leader, Terminal, now, told

DRILL = Drill("compute1", "compute1-drill-1", "anna", "new rack", now(), ("i1",), DrillState.READYING)


@pytest.mark.parametrize(("words", "said"), [
    ("compute9", "compute9 is not a compute host that the leader knows"),
    ("compute1 --end", "there is no drill of compute1"),
    ("compute2", "no drill of compute2: it is AGENT_DOWN (the host itself answers)"),
])
def test_what_makes_no_sense_is_refused_before_the_cloud_is_asked(hanode: Terminal, leader: Leader, words: str, said: str) -> None:
    """No canary is made for it, and the leader hears nothing."""
    leader.leads(told(compute2={"verdict": "AGENT_DOWN", "reason": "the host itself answers", "state": "WATCHED"}))
    code, shown, error = hanode(f"drill {words} --yes --reason x")
    assert (code, shown, leader.ledger.load().commands) == (1, "", ())
    assert said in error


def test_status_says_whose_failure_is_rehearsed_and_how_far_it_is(hanode: Terminal, leader: Leader) -> None:
    """Whoever is woken by it must see at once that it was meant."""
    leader.leads(told())
    assert leader.guard is not None
    leader.ledger.load()
    leader.ledger.commit(leader.guard, roster=Roster(drills={"compute1": DRILL}))
    assert "compute1 is rehearsed by anna (new rack): READYING, nothing new is placed on it" in hanode("status")[1]
    assert "is rehearsed by anna" in hanode("explain compute1 -f csv")[1]


def test_each_phase_is_timed_from_the_end_of_the_one_before() -> None:
    """And one that was not reached is not told."""
    at = {"cut": 0, "off": 1, "proven": 6, "moved": 16}
    stamps = {what: f"2030-01-01T00:00:{second:02}Z" for what, second in at.items()}
    assert [(name, seconds) for name, seconds, _ in phases(stamps)] == [("off", 1.0), ("proof", 5.0), ("evacuate", 10.0)]
