"""What if planned work harmed somebody? Mutants of draining and of drills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hanode.core import drain, maintenance
from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.drain import Moving
from hanode.core.judge import Evidence
from hanode.core.lifecycle import WorkState
from hanode.core.model import Action, ActionKind
from hanode.core.records import Maintenance
from tests.sim.mutants_base import always, caught, changed


@caught("L1", "maintenance-dies-while-draining")
def exempts_a_host_before_it_is_empty() -> Iterator[None]:
    """Protects a host no more from the moment in which somebody wants to work on it."""
    with patch.object(Maintenance, "is_drained", property(lambda work: work.drain)):
        yield


@caught("L1", "maintenance-filled-again")
def does_not_wait_for_a_host_that_may_be_switched_off() -> Iterator[None]:
    """Migrates at once what has come to a host of which it had said that it may be switched off."""
    with changed("core.drain._may_be_going", always(False)):
        yield


@caught("S3", "maintenance-makes-way")
def migrates_away_from_a_host_that_may_be_dead() -> Iterator[None]:
    """Asks Nova to migrate whatever the heartbeats of the source, and other failed hosts, tell."""
    with changed("core.drain._why_not", always("")):
        yield


@caught("S3", "maintenance-under-a-leader-that-has-heard-nobody")
def believes_nova_of_a_host_that_it_has_not_heard() -> Iterator[None]:
    """Takes a host for well that Nova calls up, although this leader has never seen its heartbeat move."""
    with changed("core.drain.was_heard", always(True)):
        yield


@caught("S4", "drill-not-alone")
def cuts_the_power_for_a_drill_without_looking_who_is_there() -> Iterator[None]:
    """Believes the operator that nothing but canaries is on the host."""
    with changed("core.drill._look", always("")):
        yield


@caught("promise", "maintenance-drained")
def leaves_a_host_disabled_after_the_work() -> Iterator[None]:
    """Says that maintenance has ended, and does not enable the host."""
    def ended(moving: Moving, work: Maintenance, e: Evidence) -> None:
        maintenance._drop(moving.draft, work, Level.WARNING, "its maintenance has ended")
    with patch.dict(maintenance.RULES, {WorkState.ENDING: ended}):
        yield


@caught("S2", "maintenance-drained")
def evacuates_what_it_should_migrate() -> Iterator[None]:
    """Makes way by the short cut: calls the host down and evacuates its instances, which run there."""
    disable, action = maintenance._disable, drain._action

    def force_down(draft: Draft, work: Maintenance, e: Evidence) -> None:
        disable(draft, work, e)
        draft.act(Action(work.host, ActionKind.FORCE_DOWN, work.work, service_id=e.host.service.service_id), draft.policy.retry_s)

    def evacuate(*facts: Any) -> Action:
        return replace(action(*facts), kind=ActionKind.EVACUATE, until_s=float("inf"))
    with changed("core.maintenance._disable", force_down), changed("core.drain._action", evacuate):
        yield


@caught("promise", "failback-by-operator")
def moves_back_what_its_owner_has_moved_since() -> Iterator[None]:
    """Does not ask whether an instance still stands where its evacuation has put it."""
    with changed("core.failback._was_moved_since", always(False)):
        yield


@caught("promise", "failback-no-room-for-a-moment")
def takes_one_refusal_for_final() -> Iterator[None]:
    """Leaves an instance away for good because home was full at the moment when it was asked for."""
    with changed("core.failback.SURE_S", 0.0):
        yield
