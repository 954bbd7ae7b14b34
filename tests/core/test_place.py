"""Where an instance may go, why not elsewhere, and whether its disk survives."""

from __future__ import annotations

from dataclasses import replace

from hanode.core.accounts import account
from hanode.core.facts import Host, Instance
from hanode.core.model import Call
from hanode.core.place import Placed, Refused, place
from hanode.core.policy import Policy, StorageDomain
from hanode.core.room import Ask, Ground, GroupNow, Limits, Room
from hanode.core.storage import Lost, Survives, survival
from tests.core.facts import POLICY, host, instance

RBD, SHARE = StorageDomain("A", "rbd"), StorageDomain("A", "file")


def ask(what: Instance, domain: StorageDomain | None = RBD, policy: Policy = POLICY, **changes: object) -> Ask:
    entry = account(what, domain.name if domain else "", {}, policy, frozenset())
    assert entry is not None
    return Ask(what, replace(entry, **changes), host("c1"), domain, policy)  # type: ignore[arg-type]


def room(**free: int) -> Room:
    return Room({name: {"VCPU": vcpus, "MEMORY_MB": 512 * vcpus, "DISK_GB": 5 * vcpus} for name, vcpus in free.items()})


def targets(*names: str, **more: Host) -> tuple[Host, ...]:
    return (*(host(name) for name in names), *more.values())


def test_an_image_backed_instance_without_a_declared_domain_is_refused() -> None:
    """Nova would silently rebuild its disk from the image: S6."""
    assert isinstance(survival(instance(), None, None), Lost)
    found = place(ask(instance(), None), targets("c2"), room(c2=5))
    assert isinstance(found, Refused) and "no declared storage domain" in found.reason


def test_an_instance_on_volumes_needs_no_domain() -> None:
    """Its disks are attached wherever it runs."""
    assert survival(instance(image_id=""), None, None) == Survives(Call.SCHEDULED)


def test_swap_or_ephemeral_disk_of_a_volume_booted_instance_is_local() -> None:
    """It would come back empty elsewhere."""
    for local in (instance(image_id="", swap_mb=512), instance(image_id="", ephemeral_gb=1)):
        assert isinstance(survival(local, RBD, StorageDomain("B", "rbd")), Lost)


def test_a_share_is_asked_for_with_the_call_that_nova_refuses_where_it_is_not_mounted() -> None:
    """2.13 with onSharedStorage: compared with what the target sees, before anything is touched."""
    assert survival(instance(), SHARE, SHARE) == Survives(Call.ON_SHARED_STORAGE)
    assert survival(instance(), RBD, RBD) == Survives(Call.SCHEDULED)


def test_another_domain_is_no_target() -> None:
    """11 and 22 of 40 disks were lost that way by the systems that we were compared with."""
    found = place(ask(instance()), (host("c2", domain="B"),), room(c2=50))
    assert isinstance(found, Refused) and "outside storage domain A" in found.reason


def test_the_emptiest_of_the_least_busy_is_taken_and_names_decide_ties() -> None:
    """Spread, and the same choice for every leader."""
    assert place(ask(instance()), targets("c2", "c3"), room(c2=3, c3=9)) == Placed("c3", Call.SCHEDULED)
    assert place(ask(instance()), targets("c3", "c2"), room(c2=9, c3=9)) == Placed("c2", Call.SCHEDULED)


def test_a_soft_group_is_a_wish_that_comes_after_room_and_before_spread() -> None:
    """Nova only weighs it; nobody stays down for it, and nobody waits for it."""
    where = {"id-a": "c2", "id-b": "c2", "id-c": "c3"}
    apart, together = (GroupNow("g", f"soft-{policy}", where) for policy in ("anti-affinity", "affinity"))
    asked, members = ask(instance()), {"id-vm": "g"}
    for group, wanted in ((apart, "c3"), (together, "c2")):
        assert place(asked, targets("c2", "c3"), Room(room(c2=5, c3=5).free, ground=Ground({"g": group}, members))) == Placed(
            wanted, Call.SCHEDULED)
        other = {"c2": "c3", "c3": "c2"}[wanted]
        full = Room(room(**{wanted: 0, other: 5}).free, ground=Ground({"g": group}, members))
        assert place(asked, targets("c2", "c3"), full) == Placed(other, Call.SCHEDULED)
        busy = Room(room(c2=5, c3=5).free, Limits(per_target=1), Ground({"g": group}, members))
        busy.in_flight[wanted] = 1
        assert place(asked, targets("c2", "c3"), busy) == Placed(other, Call.SCHEDULED)


def test_every_placement_is_charged_before_the_next() -> None:
    """Room for three is not room for four."""
    where, left = [], room(c2=2, c3=1)
    for _ in range(4):
        found = place(ask(instance()), targets("c2", "c3"), left)
        if isinstance(found, Placed):
            left.start(found.target, "A", ask(instance()).record.resources)
            where.append(found.target)
    assert sorted(where) == ["c2", "c2", "c3"]
    assert isinstance(found, Refused) and "no room" in found.reason and not found.busy


def test_the_limits_on_concurrency_make_it_wait_in_line() -> None:
    """It fits: it is not WAITING for room, only for its turn."""
    left = replace(room(c2=9, c3=9, c4=9), limits=Limits(at_once=2, per_target=1, per_domain=8))
    for expected in ("c2", "c3"):
        found = place(ask(instance()), targets("c2", "c3", "c4"), left)
        assert isinstance(found, Placed) and found.target == expected
        left.start(found.target, "A", ask(instance()).record.resources)
    found = place(ask(instance()), targets("c2", "c3", "c4"), left)
    assert isinstance(found, Refused) and found.busy


def test_a_target_where_an_attempt_failed_is_not_tried_again() -> None:
    """Its reason may still be there, and so may half a guest."""
    found = place(ask(instance(), avoid=("c2",)), targets("c2"), room(c2=5))
    assert isinstance(found, Refused) and "attempt" in found.reason


def test_unknown_room_is_no_room() -> None:
    """A provider that could not be read is not an empty one."""
    found = place(ask(instance()), targets("c2"), room())
    assert isinstance(found, Refused) and "not known" in found.reason


def test_a_call_past_the_scheduler_stays_in_its_zone() -> None:
    """Below 2.29 a named host is not validated by the scheduler."""
    far = host("c2", kind="file", zone="az2")
    found = place(ask(instance(), SHARE), (far,), room(c2=5))
    assert isinstance(found, Refused) and "outside availability zone nova" in found.reason
