"""Small builders of facts for the tests of the core."""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import Beat, Trace
from hanode.core.facts import Aggregate, Host, Hypervisor, Instance, Migration, Service
from hanode.core.judge import Evidence
from hanode.core.policy import Policy
from hanode.core.records import Roster
from hanode.core.signals import MANAGEMENT

POLICY = Policy(mode="act", fenceable=frozenset({"c1", "c2", "c3", "c4", "c5"}))


def service(host: str = "c1", **changes: object) -> Service:
    return replace(Service(f"id-{host}", "nova-compute", host, "up", updated_at="t0", zone="nova"), **changes)  # type: ignore[arg-type]


def host(name: str = "c1", domain: str = "A", kind: str = "rbd", hypervisor: str = "QEMU", **changes: object) -> Host:
    aggregate = Aggregate(f"domain-{domain}", frozenset({name}), {"hanode:storage": domain, "hanode:kind": kind})
    return Host(name, service(name, **changes), Hypervisor(name, hypervisor, "10.0.0.1", f"rp-{name}"), (aggregate,) if domain else ())


def instance(name: str = "vm", on: str = "c1", **changes: object) -> Instance:
    base = Instance(f"id-{name}", name, on, "active", image_id="image", vcpus=1, ram_mb=512, disk_gb=5, zone="nova")
    return replace(base, **changes)  # type: ignore[arg-type]


def evacuation(migration_id: str, status: str, target: str = "c2", instance_id: str = "id-vm", source: str = "c1") -> Migration:
    return Migration(migration_id, instance_id, "evacuation", status, source, target, created_at=migration_id)


def said(**traces: Trace | None) -> dict[str, Trace]:
    """network -> what a host said there, as far as it was asked."""
    return {network: trace for network, trace in traces.items() if trace is not None}


def evidence(
    silent_s: float = 0.0,
    power: str | None = None,
    probe: str | None = None,
    *,
    now_s: float = 1000.0,
    readings: int = 3,
    seen: bool = True,
    **changes: object,
) -> Evidence:
    """One host, seen up before, silent for so long, its device and probe saying the same `readings` times until now."""

    def trace(value: str | None) -> Trace | None:
        return Trace(value, now_s - 2.0 * (readings - 1) - 1, now_s - 1, readings) if value else None

    base = Evidence(
        host=host(state="down" if silent_s >= 60 else "up"),
        beat=Beat("t0", now_s - silent_s, moved=True),
        looked_s=now_s,
        now_s=now_s,
        policy=POLICY,
        roster=Roster(seen=frozenset({"c1"} if seen else ())),
        power=trace(power),
        probes=said(**{MANAGEMENT: trace(probe)}),
    )
    return replace(base, **changes)  # type: ignore[arg-type]
