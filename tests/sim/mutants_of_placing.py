"""What if an instance went where it may not, too many went at once, or the wrong one first? Mutants of what is promised of placing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from hanode.core import constraints
from hanode.core.constraints import Constraint
from hanode.core.order import Line
from hanode.core.room import Room
from tests.sim.mutants_base import always, caught, changed


@contextmanager
def _without_rule(name: str) -> Iterator[None]:
    with ExitStack() as stack:
        for table in (constraints.STANDING, constraints.MOVING, constraints.CONSTRAINTS):
            if name in table:
                stack.enter_context(patch.dict(table, {name: Constraint(always(None), "")}))  # type: ignore[arg-type]
        yield


@caught("promise", "kept-in-its-zone")
def forgets_the_availability_zone() -> Iterator[None]:
    """Sends an instance out of the zone for which its owner created it."""
    with _without_rule("zone"):
        yield


@caught("promise", "glance-unreadable")
def takes_an_image_that_it_cannot_read_for_a_customers() -> Iterator[None]:
    """Restarts what may be an amphora while nobody can say whether it is one."""
    with _without_rule("image"):
        yield


@caught("promise", "traits")
def forgets_traits() -> Iterator[None]:
    """Sends an instance to a host without what its flavor asks for."""
    with _without_rule("traits"):
        yield


@caught("promise", "kept-for-tenants")
def forgets_aggregates() -> Iterator[None]:
    """Sends an instance to hosts that are kept for others, or that are not of its flavor's kind."""
    with _without_rule("aggregate"), _without_rule("tenant"):
        yield


@caught("promise", "kept-apart-though-roomy")
def forgets_server_groups() -> Iterator[None]:
    """Sends a member of a server group to where another one runs, although they must not share a host."""
    with _without_rule("group"), patch.object(Room, "is_moving", always("")):
        yield


@caught("promise", "priority")
def asks_in_no_order() -> Iterator[None]:
    """Does not ask who is how important."""
    with changed("core.order.rank", always(0)):
        yield


@caught("promise", "starts-after")
def waits_for_nobody() -> Iterator[None]:
    """Starts an instance beside those that it is to start after."""
    with patch.object(Line, "awaited", always(())), changed("core.order._depths", lambda known, _: dict.fromkeys(known, 0)):
        yield


@caught("promise", "busy-target-limit")
def knows_no_ceiling() -> Iterator[None]:
    """Opens its windows beyond the limits that the operator has set."""
    with changed("core.pace._ceiling", always(1000)):
        yield


@caught("promise", "ran-on-two-failed-hosts")
def doubts_nobody() -> Iterator[None]:
    """Does not ask on which failed hosts an instance ran before."""
    with changed("core.repeats._failed_hosts", always(())):
        yield


@caught("scenario", "kills-its-hosts-leader-killed")
def lets_everybody_go() -> Iterator[None]:
    """Sends an instance to its fourth host after three have failed under it."""
    with changed("core.repeats.why_kept_back", always("")):
        yield


@caught("promise", "ran-on-two-failed-hosts")
def sends_company() -> Iterator[None]:
    """Sends what may kill hosts to where others are on their way."""
    with _without_rule(constraints.ALONE), changed("core.order.COMING", frozenset()):
        yield


@caught("promise", "rack-fails-and-then-another")
def blames_guests_for_their_rack() -> Iterator[None]:
    """Counts the failure of a rack against everybody who was in it."""
    with changed("core.repeats._is_of_its_rack", always(False)):
        yield
