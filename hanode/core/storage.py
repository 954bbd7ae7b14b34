"""Does this instance's disk survive on that host, and by which call does Nova rather refuse than rebuild it?

Nothing in Nova's API tells where a disk lies (reference: nova virt/libvirt imagebackend and `instance_on_disk`), so
operators declare storage domains; hanode never guesses. What is not declared is refused with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanode.core.facts import Instance
from hanode.core.model import Call
from hanode.core.policy import StorageDomain


@dataclass(frozen=True)
class Survives:
    """The disk is found on the target, when posted by this call."""

    call: Call


@dataclass(frozen=True)
class Lost:
    """The disk would not be found there: evacuating would silently rebuild it from its image."""

    reason: str


def survival(instance: Instance, source: StorageDomain | None, target: StorageDomain | None) -> Survives | Lost:
    if not instance.has_local_disk:
        return Survives(Call.SCHEDULED)  # every disk is a volume, attached again wherever it runs
    if source is None:
        return Lost("its host belongs to no declared storage domain: its disk would be rebuilt from the image")
    if target is None or target.name != source.name:
        return Lost(f"outside storage domain {source.name}")
    # A target that only claims the domain (an unmounted share) must not rebuild the disk either (S6): at 2.13 with
    # onSharedStorage Nova compares with what the target really sees and refuses before it touches anything. For rbd
    # Nova always finds the disk of the one cluster it knows, so the newer call that the scheduler validates is safe. A kind
    # that we do not know ("nfs", say) is a share: the one call is refused where it does not fit, the other makes an empty disk.
    return Survives(Call.SCHEDULED if source.kind == "rbd" else Call.ON_SHARED_STORAGE)
