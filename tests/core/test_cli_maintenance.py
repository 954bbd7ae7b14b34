"""`hanode host maintenance`: what an operator types, and what `hanode status` says meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hanode.core.lifecycle import WorkState
from hanode.core.records import Maintenance, Roster
from tests.core.cli_stage import Leader, Terminal, now, told

R12 = {"verdict": "HEALTHY", "reason": "", "state": "WATCHED", "shares": ["rack r12"]}
RACKED = told(compute2=R12, compute3=R12, compute4={**R12, "shares": ["rack r13"]})
WORK = Maintenance(
    "compute1", "compute1-work-1", "anna", "memory", now(), 600.0, WorkState.DRAINING, reason="2 instances on it, 1 under way")


def test_a_rack_is_one_word_for_all_of_its_hosts(hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None]) -> None:
    """Each is answered for by itself, and all are told before the first answer."""
    leader.leads(RACKED)
    answering(True, "it is drained now")
    code, shown, _ = hanode("host maintenance --rack r12 --for 45m --yes --reason switches")
    assert code == 0
    assert [line.partition(": ")[2] for line in shown.splitlines()] == ["compute2: it is drained now", "compute3: it is drained now"]
    assert [(c.verb, c.host, c.for_s, c.drain) for c in leader.heard] == [
        ("maintenance", host, 2700.0, True) for host in sorted(c.host for c in leader.heard)]


def test_its_end_is_a_word_of_its_own(hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None]) -> None:
    """What is left of the time does not matter then."""
    leader.leads(told())
    answering(True, "ended")
    assert hanode("host maintenance compute1 --end --yes --reason done")[0] == 0
    assert [(c.verb, c.host) for c in leader.heard] == [("end-maintenance", "compute1")]


@pytest.mark.parametrize(("words", "said"), [
    ("--for 45m", "name the hosts, or --rack NAME, and not both"),
    ("compute1 --rack r12 --for 45m", "not both"),
    ("compute1", "say for how long, with --for 45m; or --end"),
    ("compute1 --for 45m --end", "say for how long"),
    ("--rack r99 --for 45m", "no host shares 'r99'; known are: rack r12, rack r13"),
    ("compute9 --for 45m", "compute9 is not a compute host that the leader knows"),
])
def test_what_makes_no_sense_is_refused_with_a_remedy(hanode: Terminal, leader: Leader, words: str, said: str) -> None:
    """Before anything was told to the leader."""
    leader.leads(RACKED)
    code, _, error = hanode(f"host maintenance {words} --yes --reason x")
    assert (code, leader.ledger.load().commands) == (1, ())
    assert said in error


@pytest.mark.parametrize(("left_s", "severity", "said"), [
    (600.0, "OK", "compute1 is worked on by anna (memory), about 10 min left: DRAINING, Nova moves its instances"),
    (0.0, "ATTENTION", "compute1 is worked on by anna (memory), OVERDUE: DRAINING"),
], ids=["in time", "overdue"])
def test_status_says_who_works_on_what_and_how_far_it_is(
    hanode: Terminal, leader: Leader, left_s: float, severity: str, said: str
) -> None:
    """Planned work is no trouble before it is overdue; then it is told what to type."""
    leader.leads(told())
    assert leader.guard is not None
    leader.ledger.load()
    leader.ledger.commit(leader.guard, roster=Roster(maintenance={"compute1": replace(WORK, left_s=left_s)}))
    shown = hanode("status")[1]
    assert said in shown
    assert "(2 instances on it, 1 under way)." in shown
    assert ("You must act: hanode host maintenance compute1 --end" in shown) is (severity == "ATTENTION")
    assert hanode("status -f value -c severity")[1].strip() == severity
    assert "is worked on by anna" in hanode("explain compute1 -f csv")[1]
