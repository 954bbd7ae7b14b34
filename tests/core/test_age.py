"""How old is an operator's command? (S5: it expires, and a wrong wall clock neither revives nor kills it.)"""

from __future__ import annotations

import pytest

from hanode.core.model import Command, Moment
from hanode.engine.age import SKEW_S, Ages

TOLD = Command("c1", "release", "c1", "ann", "repaired", "2030-01-01T12:00:00Z", ttl_s=60.0)


def at(s: float, clock: str = "12:00:01") -> Moment:
    return Moment(s, f"2030-01-01T{clock}Z")


@pytest.mark.parametrize("clock", ["12:00:01", "09:00:00", "23:00:00"])
def test_a_command_that_was_not_there_at_the_last_look_is_fresh_whatever_the_clocks_say(clock: str) -> None:
    """A controller whose clock is hours wrong must still be one that can be told something."""
    ages = Ages()
    assert ages.look((), at(100.0)) == {}
    (age,) = ages.look((TOLD,), at(101.0, clock)).values()
    assert not age.expired
    assert bool(age.clocks_apart_s) is (clock != "12:00:01"), "and somebody is told that a clock is wrong"


def test_a_fresh_command_that_nobody_can_judge_expires_on_the_leaders_own_clock() -> None:
    """Nova was unreadable for long: what was meant then may not be meant any more."""
    ages = Ages()
    ages.look((), at(100.0))
    assert not ages.look((TOLD,), at(101.0, "09:00:00"))["c1"].expired
    assert not ages.look((TOLD,), at(100.0 + TOLD.ttl_s, "09:00:00"))["c1"].expired
    assert "161 s" in ages.look((TOLD,), at(261.0, "09:00:00"))["c1"].expired


def test_a_look_that_comes_late_makes_no_command_younger() -> None:
    """The process had stood still for an hour: what it finds then may be an hour old."""
    ages = Ages()
    ages.look((), at(100.0))
    assert ages.look((TOLD,), at(3700.0))["c1"].expired


@pytest.mark.parametrize(("clock", "expired"), [("12:00:01", False), ("12:01:20", False), ("12:02:00", True), ("11:59:00", True)])
def test_what_a_new_leader_finds_at_its_first_look_is_judged_by_both_clocks(clock: str, expired: bool) -> None:
    """It may have lain there for an hour; which clock is wrong nobody can say, so the refusal names both times."""
    text = Ages().look((TOLD,), at(100.0, clock))["c1"].expired
    assert bool(text) is expired
    assert not expired or (TOLD.at in text and clock in text)


def test_what_a_first_look_has_found_does_not_become_fresh_by_being_found_again() -> None:
    """Else every old command would be obeyed one tick later."""
    ages = Ages()
    ages.look((TOLD,), at(100.0, "15:00:00"))
    assert ages.look((TOLD,), at(101.0, "15:00:01"))["c1"].expired


def test_a_time_that_nobody_can_read_is_as_good_as_none() -> None:
    """Fresh by the leader's own clock it is obeyed; else it must be given again rather than guessed."""
    odd = Command("c1", "release", "c1", "ann", "repaired", "yesterday", ttl_s=60.0)
    assert "yesterday" in Ages().look((odd,), at(100.0))["c1"].expired
    ages = Ages()
    ages.look((), at(100.0))
    assert ages.look((odd,), at(101.0))["c1"].expired == ""


def test_a_few_seconds_between_two_clocks_are_no_alarm() -> None:
    """Controllers run NTP, and no two clocks agree."""
    ages = Ages()
    ages.look((), at(100.0))
    assert ages.look((TOLD,), at(100.0 + SKEW_S / 2, "11:59:45"))["c1"].clocks_apart_s == 0.0
