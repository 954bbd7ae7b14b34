"""The same incident under another policy: what would have been decided, and when?

The circumstances that its record kept are built up in a simulated cloud, the host fails there as it did, and the unmodified daemon
recovers it, once under the policy of that time and once under the other. So the world answers each policy by itself; what is compared
are two runs of one model, and beside them stands what the record says of the real night, which shows how good the model is.

Not in the model: faults of Nova's and of its network, other people's doings, members of server groups on other hosts, suspicions and
holds of the time before, and what the circumstances had no place for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from statistics import median

from hanode.core.circumstances import Bystander, Circumstances
from hanode.core.decisions import HoldKind, Verdict
from hanode.core.facts import Instance, Power
from hanode.core.lifecycle import ENDED, HostState, InstanceState
from hanode.core.model import ActionKind, Result
from hanode.core.policy import Policy, StorageDomain
from hanode.core.records import HostRecovery, ProofKind
from hanode.engine.age import time_of
from hanode.sim.evidence import Tick
from hanode.sim.run import Simulation
from hanode.sim.world import BmcMode, Domain, Inventory, ServerGroup, Timings, World

FAILS_AFTER_S = 120.0
"""Beyond every hold of a leader that has just taken office, unless the policy's own is longer."""

PATIENCE_S = 1800.0
"""So long a run goes on while instances wait: what then waits, waits for something that this model will not bring."""

SETTLED_S = 60.0
STARTED_S = 4.0
"""What Nova takes beside starting the guest, in the model: left away from what a restart took."""

PROMPT_S = 10.0
"""From the beginning of the fencing to the proof, with a device that does as it is told."""

ROOM = 1_000_000
BRAKE = "brake"
EVACUATE = "evacuate to "
UNTOLD = frozenset({Verdict.HEALTHY, Verdict.SUSPECT, Verdict.FAILED})  # of these the states tell


@dataclass(frozen=True)
class Decision:
    about: str  # the host, an instance by its name, or "brake"
    what: str
    at_s: float | None  # after the last heartbeat; None: the record does not tell
    why: str = ""


@dataclass(frozen=True)
class Difference:
    about: str
    what: str
    real_s: float | None  # by the record
    then_s: float | None  # in the model, by the policy of that time; None: not decided
    now_s: float | None  # in the model, by the other
    change: str  # "", "earlier", "later", "only then", "only now"
    why: str


def compare(real: tuple[Decision, ...], then: tuple[Decision, ...], now: tuple[Decision, ...]) -> tuple[Difference, ...]:
    """Every decision of either run, in the order of the first that has it."""
    known = {side: {(d.about, d.what): d for d in reversed(found)} for side, found in (("real", real), ("then", then), ("now", now))}
    order = sorted({**known["then"], **known["now"]}.items(), key=lambda item: (item[1].at_s or 0.0))
    return tuple(_difference(key, known["real"].get(key), known["then"].get(key), known["now"].get(key)) for key, _ in order)


def _difference(key: tuple[str, str], real: Decision | None, then: Decision | None, now: Decision | None) -> Difference:
    told = now or then
    change = ""
    if then is None or now is None:
        change = "only now" if then is None else "only then"
    elif then.at_s is not None and now.at_s is not None and abs(then.at_s - now.at_s) >= 1.0:
        change = "later" if now.at_s > then.at_s else "earlier"
    real_s, then_s, now_s = (found.at_s if found else None for found in (real, then, now))
    return Difference(*key, real_s, then_s, now_s, change, told.why if told else "")


# --------------------------------------------------------------------------- as the record tells it


def as_it_was(record: HostRecovery) -> tuple[Decision, ...]:
    """What the record has a time for."""
    start = record.last_beat_at or record.opened_at
    found = [Decision(record.host, HostState.SUSPECT, _after_s(start, record.opened_at))]
    if record.circumstances is not None:
        found.append(Decision(record.host, HostState.FENCING, _after_s(start, record.circumstances.at), record.cause))
    if record.fenced_at:
        found.append(Decision(record.host, HostState.FENCED, _after_s(start, record.fenced_at), record.proof.text if record.proof else ""))
    for entry in record.instances.values():
        if entry.requested_at:
            found.append(Decision(entry.name, f"{EVACUATE}{entry.target}", _after_s(start, entry.requested_at)))
        if entry.state in ENDED:
            found.append(Decision(entry.name, entry.state, _after_s(start, entry.ended_at), entry.reason))
    return tuple(found)


def _after_s(start: str, stamp: str) -> float | None:
    try:
        return round((time_of(stamp) - time_of(start)) / timedelta(seconds=1), 1)
    except ValueError:
        return None


# --------------------------------------------------------------------------- the model


def replay(record: HostRecovery, kept: Circumstances, policy: Policy) -> tuple[Decision, ...]:
    """What is decided about this host and its instances under this policy, in the model; the same for the same arguments."""
    made = _as_modelled(policy, record, kept)
    world = _world(record, kept)
    simulation = Simulation(world, made, ("replay",))
    fails_s = max(FAILS_AFTER_S, 2 * made.office_hold_s)
    world.at(fails_s, lambda: _fail_all(world, record, kept), "as it was")
    for verb, after_s in _words_of_people(record, kept):
        world.at(fails_s + after_s, partial(simulation.command, verb, record.host, "as it was"), verb)
    simulation.run(fails_s + PATIENCE_S, _settled(simulation, record.host, fails_s + max(180.0, 2 * made.suspect_at_most_s)))
    beat_s = world.hosts[record.host].beat_s
    return tuple(replace(one, at_s=round((one.at_s or 0.0) - beat_s, 1)) for one in _decided(simulation, record.host) if one.at_s)


def _words_of_people(record: HostRecovery, kept: Circumstances) -> Iterator[tuple[str, float]]:
    """What an operator said then he says again, as long after the failure; the record has no time for an approval."""
    start = record.last_beat_at or record.opened_at
    if record.approved:
        yield "approve", (_after_s(start, kept.at) or 0.0) + 1.0
    if record.proof is not None and record.proof.kind is ProofKind.PERSON:
        yield "confirm-fenced", _after_s(start, record.fenced_at) or 0.0


def _as_modelled(policy: Policy, record: HostRecovery, kept: Circumstances) -> Policy:
    """The policy with what belongs to the hosts and not to it; what the model cannot answer for is left away."""
    hosts = (kept.itself, *kept.hosts)
    return replace(
        policy,
        domains={host.name: StorageDomain(host.domain, host.kind) for host in hosts if host.domain},
        fenceable=kept.policy.fenceable | {host.name for host in kept.hosts},
        fence_plans={record.host: kept.policy.plan_of(record.host)},
        # By the number of hosts that were protected then, of which not all are in the model.
        brake_hosts=policy.brake_limit(kept.protected), brake_percent=0.0,
        health_checked=frozenset(), restart_agent=False, power_on=False, check_every_s=0.0, release="operator",
        capacity_failures=0, capacity_racks=False, capacity_free_percent=0.0,
    )


def _world(record: HostRecovery, kept: Circumstances) -> World:
    lasted = [
        seconds for entry in record.instances.values()
        if entry.state is InstanceState.VERIFIED and (seconds := _after_s(entry.requested_at, entry.ended_at)) is not None
    ]
    spawn_s = max(0.5, median(lasted) - STARTED_S) if lasted else Timings.spawn_s
    world = World(1, timings=Timings(report_interval_s=kept.policy.report_interval_s, spawn_s=spawn_s))
    for host in (kept.itself, *kept.hosts):
        _add_host(world, host, host is kept.itself or not kept.room_known)
    for aggregate in kept.aggregates:
        world.add_aggregate(aggregate.name, aggregate.hosts, aggregate.metadata)
    ids = {old: _add_instance(world, record.host, instance) for old, instance in sorted(kept.instances.items())}
    for group in kept.groups:
        world.servers.groups.append(ServerGroup(group.name, group.policy, frozenset(ids[member] for member in group.members)))
    return world


def _add_host(world: World, host: Bystander, roomy: bool) -> None:
    inventories = dict.fromkeys(("VCPU", "MEMORY_MB", "DISK_GB"), Inventory(ROOM))
    if not roomy:
        inventories = {name: Inventory(max(0, amount)) for name, amount in host.free.items()}
    domain = Domain(host.domain, host.kind) if host.domain else Domain("undeclared", "local")
    added = world.add_host(host.name, domain, host.zone or "nova", host.hypervisor or "QEMU", inventories=inventories)
    added.traits = host.traits
    if host.disabled:
        added.status, added.disabled_reason = "disabled", host.disabled


def _add_instance(world: World, host: str, instance: Instance) -> str:
    server = world.add_server(
        instance.name, host, instance.vm_state, running=instance.power_state == "running", volume_boot=instance.boots_from_volume,
        vcpus=instance.vcpus, ram_mb=instance.ram_mb, disk_gb=instance.disk_gb, ephemeral_gb=instance.ephemeral_gb,
        swap_mb=instance.swap_mb, project_id=instance.project_id, image_id=instance.image_id, pinned_zone=instance.pinned_zone or "",
        locked=instance.locked, metadata=instance.metadata,
    )
    server.task_state, server.addresses = instance.task_state, instance.addresses
    server.extra_specs, server.image_properties = dict(instance.extra_specs), dict(instance.image_properties)
    return server.instance_id


def _fail_all(world: World, record: HostRecovery, kept: Circumstances) -> None:
    living = "answers" in kept.probes.values()
    _fail(world, kept.itself.name, kept.power, _device_of(record, kept), living)
    took_s = _after_s(kept.at, record.fenced_at) or 0.0
    if world.bmcs[record.host].mode is BmcMode.OK and kept.power != Power.OFF and took_s > PROMPT_S:
        world.bmcs[record.host].misbehave(BmcMode.SLOW, took_s - PROMPT_S)  # it proved the host off at last: as late as then
    for other in kept.hosts:
        if other.silent:
            _fail(world, other.name, other.power, BmcMode.OK if other.power in {Power.ON, Power.OFF} else BmcMode.SILENT)


def _fail(world: World, host: str, power: str, device: BmcMode, living: bool = False) -> None:
    """As it looked before anything was done to it: off, or living without its agent, or standing still."""
    if power == Power.OFF:
        world.hosts.power_off(host, "as it was")
    elif living:
        world.hosts.kill_compute(host)
    else:
        world.hosts.freeze_kernel(host)
    world.bmcs[host].misbehave(device)


def _device_of(record: HostRecovery, kept: Circumstances) -> BmcMode:
    """How its power device behaved when it was needed."""
    if record.proof is not None and record.proof.kind is ProofKind.DEVICE:
        return BmcMode.OK
    if Result.REFUSED in record.offs:
        return BmcMode.REFUSES
    if Result.UNREACHABLE in record.offs or kept.power not in {Power.ON, Power.OFF}:
        return BmcMode.SILENT
    return BmcMode.LIES if record.offs else BmcMode.OK


def _settled(simulation: Simulation, host: str, least_s: float) -> Callable[[], bool]:
    """Everything that this model can bring has come: each instance ended or waits, and so it stayed for a while."""
    looked_s, since_s = least_s, float("inf")

    def done() -> bool:
        nonlocal looked_s, since_s
        now_s = simulation.world.now_s
        if now_s < looked_s:
            return False
        looked_s = now_s + SETTLED_S / 4
        since_s = min(since_s, now_s) if _is_still(simulation.book().records.hosts.get(host)) else float("inf")
        return now_s - since_s >= SETTLED_S

    return done


def _is_still(record: HostRecovery | None) -> bool:
    if record is None:
        return True
    done = all(entry.state in {*ENDED, InstanceState.WAITING} for entry in record.instances.values())
    return done and record.state in {HostState.EVACUATING, HostState.RELEASING, HostState.NEEDS_OPERATOR}


def _decided(simulation: Simulation, host: str) -> Iterator[Decision]:
    """Each thing once, when it was decided first."""
    seen: set[tuple[str, str]] = set()
    for tick in simulation.story.ticks:
        for one in _of_tick(tick, host):
            if (one.about, one.what) not in seen:
                seen.add((one.about, one.what))
                yield one


def _of_tick(tick: Tick, host: str) -> Iterator[Decision]:
    decisions, at_s = tick.decisions, tick.time_s
    for hold in decisions.holds:
        if hold.kind is not HoldKind.DELAY:
            yield Decision(BRAKE, hold.name, at_s, hold.reason)
    found = decisions.verdicts.get(host)
    if found is not None and found.verdict not in UNTOLD:
        yield Decision(host, f"is {found.verdict}", at_s, found.reason)
    for record in (*decisions.writes, *(closed.record for closed in decisions.closes)):
        if record.host == host:
            yield Decision(host, record.state, at_s, record.reason)
            yield from _of_instances(record, at_s)
    for action in decisions.actions:
        if action.host == host and action.kind is ActionKind.POWER_OFF:
            yield Decision(host, f"power-off {action.attempt}", at_s)


def _of_instances(record: HostRecovery, at_s: float) -> Iterator[Decision]:
    for entry in record.instances.values():
        if entry.state in {*ENDED, InstanceState.WAITING}:
            yield Decision(entry.name, entry.state, at_s, entry.reason)
        elif entry.attempt and entry.target:
            yield Decision(entry.name, f"{EVACUATE}{entry.target}", at_s)
