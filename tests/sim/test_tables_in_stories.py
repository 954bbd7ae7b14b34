"""Is every row of the state tables taken in some story? Asked after the stories were told: they are played once."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hanode.core.lifecycle import DRILL_STEPS, FAILBACK_STEPS, HOST_STEPS, INSTANCE_STEPS, SPARE_STEPS, WORK_STEPS, InstanceState
from tests.sim.plays import STORIES, played

I = InstanceState  # noqa: E741 - a table reads better so

pytestmark = pytest.mark.timeout(1800)  # alone, each plays all stories

UNTOLD_OF_INSTANCES: Mapping[tuple[InstanceState, InstanceState], str] = {
    (I.STUCK, I.RETURNED): "tried again first, where a complete read shows that nothing is left; else its record ends in STUCK",
    (I.REQUESTED, I.MOVED): "Nova writes a record first, and that is seen with the new host or before it",
}


def test_every_row_of_the_hosts_table_is_taken_in_some_story() -> None:
    """A row that no story takes is either dead or untested."""
    taken = {step for name in STORIES for step in played(name).host_steps}
    assert {(state, to) for state, row in HOST_STEPS.items() for to in row} - taken == set()


def test_every_row_of_the_instances_table_is_taken_in_some_story() -> None:
    """A row that no story takes is either dead or untested."""
    taken = {step for name in STORIES for step in played(name).instance_steps}
    assert {(state, to) for state, row in INSTANCE_STEPS.items() for to in row} - taken == set(UNTOLD_OF_INSTANCES)


def test_every_row_of_the_table_of_maintenance_is_taken_in_some_story() -> None:
    """A row that no story takes is either dead or untested."""
    taken = {(state, to) for name in STORIES for state, to in played(name).work_steps if state is not to}
    assert {(state, to) for state, row in WORK_STEPS.items() for to in row} == taken


def test_every_row_of_the_table_of_drills_is_taken_in_some_story() -> None:
    """A row that no story takes is either dead or untested."""
    taken = {(state, to) for name in STORIES for state, to in played(name).drill_steps if state is not to}
    assert {(state, to) for state, row in DRILL_STEPS.items() for to in row} == taken


def test_every_row_of_the_table_of_spares_is_taken_in_some_story() -> None:
    """A row that no story takes is either dead or untested."""
    taken = {(state, to) for name in STORIES for state, to in played(name).spare_steps if state is not to}
    assert {(state, to) for state, row in SPARE_STEPS.items() for to in row} == taken


def test_every_row_of_the_table_of_failbacks_is_taken_in_some_story() -> None:
    """A row that no story takes is either dead or untested."""
    taken = {(state, to) for name in STORIES for state, to in played(name).failback_steps if state is not to}
    assert {(state, to) for state, row in FAILBACK_STEPS.items() for to in row} == taken
