"""What if hosts in reserve were handled carelessly? Mutants of their use."""

from __future__ import annotations

from collections.abc import Iterator

from hanode.core import spares
from hanode.core.draft import Draft
from hanode.core.records import Spare
from tests.sim.mutants_base import caught, changed


@caught("L1", "spare-filled-again")
def leaves_a_spare_alone_as_soon_as_it_is_disabled() -> Iterator[None]:
    """Does not look whether something was put on a spare while it was given back."""
    looks = spares._is_empty

    def looks_once(draft: Draft, spare: Spare, wait: str) -> bool:
        return wait.startswith("disabled/") or looks(draft, spare, wait)

    with changed("core.spares._is_empty", looks_once):
        yield
