"""What if planned work harmed somebody? Mutants of draining and of drills."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

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


@caught("S4", "drill-not-alone")
def cuts_the_power_for_a_drill_without_looking_who_is_there() -> Iterator[None]:
    """Believes the operator that nothing but canaries is on the host."""
    with changed("core.drill._look", always("")):
        yield
