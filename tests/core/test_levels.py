"""Which level of a host's power devices comes next, and what do all of them say together?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decisions import Trace
from hanode.core.facts import Power
from hanode.core.levels import (
    UNTRIED_S,
    another_is_next,
    believed,
    host_and_level,
    is_exhausted,
    level_of_try,
    power_key,
    proven_by,
    said_by_all,
    signs_of_life,
    together,
    watched,
)
from hanode.core.lifecycle import HostState
from hanode.core.model import Result
from hanode.core.policy import NO_DEVICE, ONE_DEVICE, FenceLevel, FencePlan, Policy
from hanode.core.records import HostRecovery, Proof, ProofKind

BMC, OUTLETS = FenceLevel(), FenceLevel(outlets=True)
TWO_BMCS = FencePlan((BMC, BMC))
BMC_AND_OUTLETS = FencePlan((BMC, OUTLETS))


def record(offs: int, proof: Proof | None = None, offs_before: int = 0) -> HostRecovery:
    return HostRecovery("c1", "i-1", HostState.FENCING, "", "", offs=("",) * offs, proof=proof, offs_before=offs_before)


def trace(value: str, since_s: float = 90.0, last_s: float = 99.0) -> Trace:
    return Trace(value, since_s, last_s, 3)


def proof(level: int, kind: ProofKind = ProofKind.DEVICE) -> Proof:
    return Proof(kind, "", "", level)


# --------------------------------------------------------------------------- which level is tried


@pytest.mark.parametrize(("plan", "levels"), [
    (ONE_DEVICE, [1, 1, 1]),
    (TWO_BMCS, [1, 2, 1, 2]),
    (FencePlan((replace(BMC, tries=2), OUTLETS)), [1, 1, 2, 1, 1, 2]),
])
def test_a_pass_tries_each_level_in_its_order_and_then_begins_anew(plan: FencePlan, levels: list[int]) -> None:
    """The number of a try is journaled, so that any leader goes on where the last one ended."""
    assert [level_of_try(plan, record(number)) for number in range(1, len(levels) + 1)] == levels


def test_only_another_level_within_the_pass_is_tried_without_a_pause() -> None:
    """Who has just failed needs time; who was not asked yet does not."""
    plan = FencePlan((replace(BMC, tries=2), OUTLETS))
    assert [another_is_next(plan, record(number)) for number in (1, 2, 3)] == [False, True, False]


def test_the_passes_are_spent_when_every_level_had_each_of_its_tries() -> None:
    """`[fencing] attempts` counts passes: a second level must not halve the tries of the first."""
    assert [is_exhausted(TWO_BMCS, record(number), passes=3) for number in (3, 5, 6)] == [False, False, True]


@pytest.mark.parametrize("host", ["c1", "2@c1", "rack@c1", ""])
def test_a_key_gives_back_its_host_and_level(host: str) -> None:
    """Whatever characters a host's name holds: a reading taken for another host's would prove the wrong one dead."""
    assert host_and_level(power_key(host, 3)) == (host, 3)


# --------------------------------------------------------------------------- what is read


def test_outlets_are_read_only_once_they_were_tried() -> None:
    """Their `on` says nothing before, and a power strip serves a whole rack: readings must not delay an off."""
    assert watched(BMC_AND_OUTLETS, None, 2.0) == {1: 2.0}
    assert watched(BMC_AND_OUTLETS, record(1), 2.0) == {1: 2.0}
    assert watched(BMC_AND_OUTLETS, record(2), 2.0) == {1: 2.0, 2: 2.0}


def test_a_second_bmc_is_read_from_the_beginning_but_seldom() -> None:
    """It may contradict the first one: that is heard before anything rests on the first."""
    assert watched(TWO_BMCS, None, 2.0) == {1: 2.0, 2: UNTRIED_S}


def test_the_level_that_proved_it_is_read_on_in_the_next_round() -> None:
    """The attempts of a new round begin at the first level; what was switched off before must still be seen."""
    assert watched(BMC_AND_OUTLETS, record(0, proof(2)), 2.0) == {1: 2.0, 2: 2.0}
    assert watched(BMC_AND_OUTLETS, record(0, offs_before=6), 2.0) == {1: 2.0, 2: 2.0}
    assert watched(NO_DEVICE, record(0), 2.0) == {}


# --------------------------------------------------------------------------- one level of several devices


@pytest.mark.parametrize(("said", "together"), [
    ([Power.OFF, Power.OFF], Power.OFF),
    ([Power.OFF, Power.ON], Power.ON),
    ([None, Power.ON], Power.ON),
    ([Power.OFF, None], None),
    ([Power.OFF, Power.OTHER], Power.OTHER),
    ([], None),
])
def test_a_level_is_off_only_when_each_of_its_devices_is(said: list[Power | None], together: Power | None) -> None:
    """A host with two power supplies lives on one of them."""
    assert said_by_all(said) is together


# --------------------------------------------------------------------------- all levels


def value(plan: FencePlan, said: dict[int, str], proven: int = 0) -> tuple[str, int]:
    found = together(plan, {level: trace(text) for level, text in said.items()}, proven, oldest_s=80.0)
    assert found is not None
    return found.value, found.level


@pytest.mark.parametrize(("plan", "said", "expected"), [
    (TWO_BMCS, {1: "off", 2: "on"}, ("on", 1)),
    (TWO_BMCS, {1: "unknown", 2: "off"}, ("off", 2)),
    (TWO_BMCS, {1: "off", 2: "unknown"}, ("off", 1)),
    (BMC_AND_OUTLETS, {1: "off", 2: "on"}, ("off", 1)),
    (BMC_AND_OUTLETS, {1: "on", 2: "off"}, ("on", 1)),
    (BMC_AND_OUTLETS, {1: "unknown", 2: "on"}, ("on", 1)),
    (BMC_AND_OUTLETS, {1: "unknown", 2: "off"}, ("off", 2)),
    (BMC_AND_OUTLETS, {1: "unknown", 2: "unknown"}, ("unknown", 1)),
    (BMC_AND_OUTLETS, {1: "other"}, ("other", 1)),
])
def test_on_outweighs_off_unless_it_is_only_an_outlets(plan: FencePlan, said: dict[int, str], expected: tuple[str, int]) -> None:
    """No level proves dead what another sees alive; an outlet goes on feeding a machine that its BMC has switched off."""
    assert value(plan, said) == expected


def test_after_a_proof_only_the_level_that_gave_it_is_believed() -> None:
    """It is the one that was switched off: that another reads off as well does not make up for it."""
    assert value(BMC_AND_OUTLETS, {1: "off", 2: "unknown"}, proven=2) == ("unknown", 1)
    assert value(BMC_AND_OUTLETS, {1: "unknown", 2: "off"}, proven=2) == ("off", 2)


def test_an_outlet_that_was_the_proof_and_is_on_again_is_a_sign_of_life() -> None:
    """Somebody has switched it on: the machine may be booting."""
    on = {2: trace("on")}
    assert signs_of_life(BMC_AND_OUTLETS, on, proven=0) == ()
    assert signs_of_life(BMC_AND_OUTLETS, on, proven=2) == (on[2],)
    assert value(BMC_AND_OUTLETS, {1: "off", 2: "on"}, proven=2) == ("on", 1)


def test_an_old_reading_neither_proves_nor_contradicts() -> None:
    """A device that is not read any more says nothing of now."""
    old = trace("on", since_s=10.0, last_s=20.0)
    found = together(TWO_BMCS, {1: trace("off"), 2: old}, 0, oldest_s=80.0)
    assert found is not None and found.value == "off"
    assert together(TWO_BMCS, {}, 0, oldest_s=80.0) is None


def test_two_levels_that_each_read_off_once_are_no_proof() -> None:
    """A proof is two readings by the same devices: the count of one level is not added to another's."""
    once = Trace("off", 99.0, 99.0)
    found = together(TWO_BMCS, {1: once, 2: once}, 0, oldest_s=80.0)
    assert found is not None and not found.twice(0.0)


@pytest.mark.parametrize(("given", "level"), [(None, 0), (proof(2), 2), (proof(9), 0), (proof(2, ProofKind.PERSON), 0)])
def test_a_proof_names_its_level_while_there_is_such_a_level(given: Proof | None, level: int) -> None:
    """A level that was taken out of the configuration can never read off again: then any level may."""
    assert proven_by(TWO_BMCS, record(1, given)) == level


# --------------------------------------------------------------------------- whose plan


def test_a_hosts_own_plan_wins_over_a_pattern_and_the_first_pattern_wins() -> None:
    """As in fencing.yaml: exceptions are written by name."""
    policy = Policy(fenceable=frozenset({"c9"}), fence_plans={"c1": TWO_BMCS, "gpu-*": NO_DEVICE, "*-1": BMC_AND_OUTLETS, "g*": ONE_DEVICE})
    plans = {host: policy.plan_of(host) for host in ("c1", "c9", "gpu-1", "g-2", "x")}
    assert plans == {"c1": TWO_BMCS, "c9": ONE_DEVICE, "gpu-1": NO_DEVICE, "g-2": ONE_DEVICE, "x": NO_DEVICE}


# --------------------------------------------------------------------------- what is only a copy

COPY_AND_BMC = FencePlan((FenceLevel(copies=True), BMC))
OFF = trace("off")


@pytest.mark.parametrize(("why", "offs", "said"), [
    ("nothing was ordered: it may be of last week", (), "other"),
    ("nobody knows what became of the order", ("",), "other"),
    ("the order may have ended any way", (Result.AMBIGUOUS,), "other"),
    ("it was refused", (Result.REFUSED,), "other"),
    ("the order was done: the machine was looked at", (Result.DONE,), "off"),
    ("another level's order says nothing of this copy", (Result.REFUSED, Result.DONE), "other"),
    ("done in the second pass", (Result.REFUSED, Result.REFUSED, Result.DONE), "off"),
])
def test_an_off_that_is_a_copy_counts_only_after_an_off_of_ours_was_done_there(why: str, offs: tuple[str, ...], said: str) -> None:
    """The database may have said so since before the host failed."""
    assert believed(COPY_AND_BMC, replace(record(0), offs=offs), 1, OFF).value == said, why


def test_a_copy_that_was_the_proof_goes_on_counting() -> None:
    """Another leader reads it again before each batch; the order is in the record as the proof."""
    assert believed(COPY_AND_BMC, record(0, proof(1)), 1, OFF) == OFF
    assert believed(COPY_AND_BMC, record(0, proof(2)), 1, OFF).value == "other"


def test_a_copy_that_says_on_is_believed_at_once() -> None:
    """Doubt needs no proof."""
    on = trace("on")
    assert believed(COPY_AND_BMC, None, 1, on) == on
    assert believed(COPY_AND_BMC, None, 1, OFF).value == "other"


def test_a_device_that_is_asked_itself_needs_no_order() -> None:
    """A host that its own BMC finds off is dead without any."""
    assert believed(COPY_AND_BMC, None, 2, OFF) == OFF
