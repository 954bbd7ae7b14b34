"""A whole rack at once: `brake release` and `host confirm-fenced` list whom they mean, ask, and tell the leader of each by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.core.cli_stage import DEAD, WAITS, Leader, Terminal, told

IN_RACK = {"shares": ["rack r12", "storage ceph1"]}
HELD = {"verdict": "HELD", "reason": "fell silent under the hold FAILURE_DOMAIN", "state": "SUSPECT", **IN_RACK}
LIVES = {"verdict": "HEALTHY", "reason": "", "state": "WATCHED", **IN_RACK}
RACK: dict[str, dict[str, Any]] = {
    "compute7": {**WAITS, **IN_RACK}, "compute8": {**WAITS, **IN_RACK, "incident": "compute8-1"}, "compute9": HELD, "compute10": LIVES,
}
DEAD_TOO = replace(DEAD, host="compute8", incident="compute8-1")


def test_a_dead_rack_is_confirmed_once_and_each_host_of_it_checked_by_itself(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None]
) -> None:
    """At three in the morning nobody types twenty names; but each of them may be the one that lives."""
    leader.leads(told(**RACK), DEAD, DEAD_TOO)
    answering(True, "taken as dead")
    code, shown, _ = hanode("host confirm-fenced --domain r12", typed="r12\nboth PDUs are off\n")
    assert code == 0
    assert "ALL 2 hosts are OFF (compute7, compute8)" in shown
    assert "Not confirmed, because they do not wait for you: compute10 (HEALTHY), compute9 (HELD)" in shown
    assert "Accepted: compute7: taken as dead" in shown and "Accepted: compute8: taken as dead" in shown
    assert sorted((c.verb, c.host, c.incident) for c in leader.heard) == [
        ("confirm-fenced", "compute7", "compute7-1"), ("confirm-fenced", "compute8", "compute8-1"),
    ]


def test_the_silent_hosts_of_a_rack_are_named_at_once_and_those_that_live_are_left_out(
    hanode: Terminal, leader: Leader, answering: Callable[[bool, str], None]
) -> None:
    """What will be shot is read before it is asked for."""
    leader.leads(told(**RACK), DEAD, DEAD_TOO)
    answering(True, "it is judged by its own evidence")
    code, shown, _ = hanode("brake release --domain", "rack r12", typed="3\nits switch burns\n")
    assert code == 0
    assert "For 10 min each of these is powered off once it shows no sign of life" in shown
    assert "compute9: HELD, fell silent under the hold FAILURE_DOMAIN" in shown and "compute10:" not in shown
    assert sorted((c.verb, c.host) for c in leader.heard) == [("release-hold", f"compute{n}") for n in (7, 8, 9)]


@pytest.mark.parametrize(("line", "typed", "said"), [
    ("brake release --domain r12", "yes\nwhy\n", "that is not '3'"),
    ("brake release --domain r12", None, "without a terminal, --yes and --reason TEXT are needed"),
    ("brake release --domain r99", "1\nwhy\n", "no host shares 'r99'; known are: rack r12, storage ceph1"),
    ("brake release compute7 --domain r12", "1\nwhy\n", "name the hosts, or --domain NAME, and not both"),
    ("brake release", "1\nwhy\n", "name the hosts, or --domain NAME, and not both"),
    ("host confirm-fenced --domain r12", "compute7\nwhy\n", "that is not 'r12'"),
    ("host confirm-fenced --domain r12", "r12\n\n", "no reason was given"),
    ("host confirm-fenced compute7 --domain r12", "r12\nwhy\n", "name the host, or --domain NAME, and not both"),
])
def test_a_doubt_about_a_rack_ends_it_before_the_leader_hears_of_it(
    hanode: Terminal, leader: Leader, line: str, typed: str | None, said: str
) -> None:
    """One wrong key must not run forty guests twice."""
    leader.leads(told(**RACK), DEAD, DEAD_TOO)
    code, _, errors = hanode(line, typed=typed)
    assert code == 1
    assert said in errors
    assert leader.ledger.load().commands == ()


@pytest.mark.parametrize(("line", "said"), [
    ("brake release --domain r12", "no host of r12 is silent"),
    ("host confirm-fenced --domain r12", "no host of r12 waits for an operator"),
])
def test_a_sound_rack_gives_nothing_to_say_yes_to(hanode: Terminal, leader: Leader, line: str, said: str) -> None:
    """A domain of another name is easily typed."""
    leader.leads(told(compute10=LIVES))
    code, _, errors = hanode(line, typed="r12\nwhy\n")
    assert code == 1 and said in errors
