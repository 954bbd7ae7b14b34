"""The two state tables."""

from __future__ import annotations

from itertools import product

import pytest

from hanode.core.lifecycle import (
    ENDED,
    HOST_SENTENCES,
    HOST_STEPS,
    IN_FLIGHT,
    INSTANCE_SENTENCES,
    INSTANCE_STEPS,
    TO_DO,
    HostState,
    IllegalStep,
    InstanceState,
    step_host,
    step_instance,
)


def test_every_state_has_a_sentence_and_a_row() -> None:
    """An operator reads the sentence; a state without a row could never be left."""
    assert set(HOST_SENTENCES) == set(HOST_STEPS) == set(HostState)
    assert set(INSTANCE_SENTENCES) == set(INSTANCE_STEPS) == set(InstanceState)
    assert all(reason for table in (HOST_STEPS, INSTANCE_STEPS) for row in table.values() for reason in row.values())


@pytest.mark.parametrize(("state", "to"), list(product(HostState, HostState)))
def test_a_host_takes_only_the_steps_of_the_table(state: HostState, to: HostState) -> None:
    """Above all: never from SUSPECT to anything that evacuates without having been fenced."""
    if to is state or to in HOST_STEPS[state]:
        assert step_host(state, to) is to
    else:
        with pytest.raises(IllegalStep, match=f"from {state} to {to}"):
            step_host(state, to)


@pytest.mark.parametrize(("state", "to"), list(product(InstanceState, InstanceState)))
def test_an_instance_takes_only_the_steps_of_the_table(state: InstanceState, to: InstanceState) -> None:
    """Above all: never from UNDERWAY to REQUESTED, which would be a second post."""
    if to is state or to in INSTANCE_STEPS[state]:
        assert step_instance(state, to) is to
    else:
        with pytest.raises(IllegalStep, match=f"from {state} to {to}"):
            step_instance(state, to)


def test_evacuating_is_reached_only_through_fenced() -> None:
    """S2 as a property of the table."""
    assert [s for s, row in HOST_STEPS.items() if HostState.EVACUATING in row] == [HostState.FENCED]


def test_an_open_evacuation_is_never_asked_for_again_without_passing_pending() -> None:
    """S3 as a property of the table: only PENDING and WAITING lead to REQUESTED."""
    assert {s for s, row in INSTANCE_STEPS.items() if InstanceState.REQUESTED in row} == TO_DO


def test_every_instance_state_is_of_one_kind() -> None:
    """In flight, to do, ended, or being restored: nothing falls between."""
    assert set(InstanceState) == IN_FLIGHT | TO_DO | ENDED | {InstanceState.MOVED}
    assert not IN_FLIGHT & TO_DO and not ENDED & (IN_FLIGHT | TO_DO)
