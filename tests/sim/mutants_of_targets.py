"""What if whatever is declared of a target were believed? Mutants of what is looked at before a disk is sent somewhere."""

from __future__ import annotations

from collections.abc import Iterator

from tests.sim.mutants_base import always, caught, changed


@caught("S6", "target-new-in-its-domain")
def believes_whoever_has_just_been_declared() -> Iterator[None]:
    """Sends disks to a host in the moment in which somebody declares that it sees them."""
    with changed("core.ground.newcomers", always({})):
        yield


@caught("S6", "target-with-another-store")
def does_not_compare_what_hosts_report_of_their_disks() -> Iterator[None]:
    """Takes a host for one of its storage domain although it reports another store than all the others."""
    with changed("core.ground.unlike", always({})):
        yield
