"""The checkers see: hanode with one rule broken is caught by the checker of that rule, in a scenario that shows it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim.mutants import MUTANTS, noticed

RULES = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "L1")
PLAYED = [(name, scenario) for name, mutant in MUTANTS.items() for scenario in mutant.caught_in]


@pytest.mark.parametrize(("name", "scenario"), PLAYED)
def test_a_broken_rule_is_noticed(name: str, scenario: str) -> None:
    """A checker that cannot fail proves nothing; the same scenario without the mutant breaks no rule (test_scenarios.py)."""
    assert MUTANTS[name].by in noticed(MUTANTS[name], scenario)


def test_each_rule_is_broken_in_two_ways_at_least() -> None:
    ways = Counter(mutant.by for mutant in MUTANTS.values() if mutant.caught_in)
    assert {rule: ways[rule] for rule in RULES if ways[rule] < 2} == {}


def test_each_mutant_says_what_it_does() -> None:
    assert [mutant.name for mutant in MUTANTS.values() if not mutant.does.endswith(".")] == []
