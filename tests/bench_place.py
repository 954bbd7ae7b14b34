"""How long does placing take? Run by hand: `python -m tests.bench_place`. Prints the best of three, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable

from hanode.core.accounts import account
from hanode.core.facts import Aggregate, Host, Hypervisor, Instance, Service
from hanode.core.order import line_of, restart_order
from hanode.core.place import Placed, place_all
from hanode.core.policy import Policy, StorageDomain
from hanode.core.room import Ask, Ground, Room

FLAVORS = ((1, 2048), (2, 4096), (4, 8192), (8, 16384), (2, 16384))
POLICY = Policy(mode="act")
DOMAIN = StorageDomain("ceph", "rbd")


def hosts(count: int) -> tuple[Host, ...]:
    def one(number: int) -> Host:
        name = f"cn{number:04}"
        aggregates = (
            Aggregate("ceph", frozenset(), {"hanode:storage": "ceph", "hanode:kind": "rbd"}),
            Aggregate(f"rack{number // 40}", frozenset(), {"rack": f"r{number // 40}"}),
        )
        return Host(name, Service(name, "nova-compute", name, "up", zone="nova"), Hypervisor(name, "QEMU", "", f"rp-{name}"), aggregates)

    return tuple(one(number) for number in range(count))


def asks(count: int, sources: tuple[Host, ...]) -> list[Ask]:
    found = []
    for number in range(count):
        vcpus, ram_mb = FLAVORS[number % len(FLAVORS)]
        source = sources[number % len(sources)]
        what = Instance(f"id-{number}", f"vm{number}", source.name, "active", image_id="image", vcpus=vcpus, ram_mb=ram_mb, disk_gb=20,
                        project_id=f"p{number % 20}", zone="nova", pinned_zone="")
        entry = account(what, "ceph", {}, POLICY, frozenset())
        assert entry is not None
        found.append(Ask(what, entry, source, DOMAIN, POLICY))
    return found


def room(targets: tuple[Host, ...]) -> Room:
    free = {t.name: {"VCPU": 16 + n % 64, "MEMORY_MB": 65536 + 1024 * (n % 128), "DISK_GB": 2000} for n, t in enumerate(targets)}
    return Room(free, ground=Ground(racks={t.name: t.metadata("rack") or "" for t in targets}))


def place(instances: int, on: int, failed: int) -> Callable[[], int]:
    everybody = hosts(on + failed)
    targets, wanted = everybody[failed:], asks(instances, everybody[:failed])
    by_id = {ask.instance.instance_id: ask for ask in wanted}

    def run() -> int:
        line = line_of(ask.record for ask in wanted)
        ordered = [by_id[entry.instance_id] for entry in restart_order(line.entries.values(), line.depth)]
        return sum(isinstance(answer, Placed) for answer in place_all(ordered, targets, room(targets)).values())

    return run


def best_of(times: int, run: Callable[[], int]) -> tuple[float, int]:
    lasted = []
    for _ in range(times):
        begun = time.process_time()
        placed = run()
        lasted.append(time.process_time() - begun)
    return min(lasted), placed


if __name__ == "__main__":
    for instances, on, failed in ((100, 200, 2), (5000, 2000, 100)):
        lasted_s, placed = best_of(3, place(instances, on, failed))
        print(f"{instances} instances of {failed} hosts onto {on} hosts: {placed} placed in {lasted_s:.3f} s")  # noqa: T201 - its result
