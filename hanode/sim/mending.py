"""What do people do when all is over? They mend what is broken, and then do what hanode asks of them.

These are the words `mend-all` and `tend` of a scenario: with them a story of any faults has an end that can be judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanode.core.lifecycle import HostState, InstanceState, WorkState
from hanode.core.policy import MARKER
from hanode.core.records import HostRecovery, Roster
from hanode.engine.codec import RECOVERY
from hanode.sim.run import Simulation
from hanode.sim.world import VOLUMES, ApiError, BmcMode, ComputeHost, Condition, Kernel, Part, Process, Server, World

TOLD = frozenset({HostState.FENCED, HostState.EVACUATING, HostState.RELEASING})


def mend_all(simulation: Simulation) -> None:
    """Every part of the control plane, every daemon, device and host works again."""
    world = simulation.world
    world.control.clear_faults()
    world.lost_networks.clear()
    world.control.no_valid_host.clear()
    world.evacuation.claims_fail_on.clear()
    for domain in sorted({VOLUMES, *(host.domain.name for host in world.hosts.all())}):
        world.storage.become(domain, Condition.WORKS)
    world.cuts.obey_again()
    for part in Part:
        if not world.control.is_up(part):
            world.control.restore(part)
    for daemon in simulation.daemons.values():
        daemon.node.cut.clear()
        daemon.node.deaf_to.clear()
        daemon.node.wall_s = 0.0
        if daemon.node.paused:
            daemon.node.resume()
    for host in world.hosts.all():
        if world.bmcs[host.name].mode is not BmcMode.OK:
            world.bmcs[host.name].misbehave(BmcMode.OK)
        _mend_host(world, host)


def _mend_host(world: World, host: ComputeHost) -> None:
    if not host.mains:
        world.hosts.restore_mains(host.name)
    if not host.mounted:
        world.hosts.mount(host.name)
    if not (host.network and host.reachable):
        world.hosts.restore_network(host.name)
    world.hosts.thaw_kernel(host.name)
    world.hosts.thaw_compute(host.name)
    if host.kernel is Kernel.CRASHED:
        world.hosts.reboot(host.name)
    _switch_on(world, host)


def _switch_on(world: World, host: ComputeHost) -> None:
    """Power, and nova-compute where it does not run although the host does."""
    world.hosts.power_on(host.name, "by a hand")
    if host.lives and host.agent is Process.DEAD:
        world.hosts.start_compute(host.name)


def tend_for_ever(simulation: Simulation, every_s: float) -> None:
    tend(simulation)
    simulation.world.after(every_s, lambda: tend_for_ever(simulation, every_s), "tend")


def tend(simulation: Simulation) -> None:
    """An operator reads what hanode says of each host and does what it asks for."""
    world, records = simulation.world, simulation.book().records
    for host in world.hosts.all():
        record = records.hosts.get(host.name)
        for verb in _commands(host, record, records.roster):
            simulation.command(verb, host.name, "as hanode asks")
        for instance_id in _kept_back(record):
            simulation.command("retry", host.name, "as hanode asks", instance_id=instance_id)
        _attend(world, host, record)
    for server in _to_be_rebooted(simulation):
        world.hosts.start_guest(server.host, server)
        server.vm_state, server.power_state = "active", "running"


def _to_be_rebooted(simulation: Simulation) -> Iterator[Server]:
    """Of which hanode says that `openstack server reboot --hard` is the way out of ERROR at home."""
    entries = {key: entry for closed in simulation.history() for key, entry in closed.record.instances.items()}
    for instance_id, entry in sorted(entries.items()):
        server = simulation.world.servers.by_id[instance_id]
        host = simulation.world.hosts[server.host]
        advised = entry.state in {InstanceState.FAILED, InstanceState.STUCK} and "reboot --hard" in entry.reason
        idle = not server.deleted and server.vm_state == "error" and server.task_state is None
        if advised and idle and host.ready and instance_id in host.guests:
            yield server


def _commands(host: ComputeHost, record: HostRecovery | None, roster: Roster) -> Iterator[str]:
    if host.name in roster.maintenance and roster.maintenance[host.name].state is not WorkState.ENDING:
        yield "end-maintenance"
    if record is None:
        if host.name in roster.quarantined:
            yield "fence-adopt"
        if host.disabled_reason.startswith(MARKER) and host.ready:
            yield "release"
        return
    if record.state is HostState.NEEDS_OPERATOR and not host.powered:
        yield "confirm-fenced"
    if record.state is HostState.EVACUATING and any(i.state is InstanceState.FAILED for i in record.instances.values()):
        yield "retry"
    if record.state in TOLD and not record.release_asked:
        yield "release"


def _kept_back(record: HostRecovery | None) -> Iterator[str]:
    """Instances of which hanode says that only an operator's word lets them go."""
    entries = record.instances.items() if record is not None and record.state is HostState.EVACUATING else ()
    yield from (key for key, entry in sorted(entries) if entry.state is InstanceState.WAITING and "lets it go" in entry.reason)


def _attend(world: World, host: ComputeHost, record: HostRecovery | None) -> None:
    """What only hands can do: switch on what is accounted for, restart nova-compute where its records are unfinished."""
    untouched = record is None or record.state is HostState.SUSPECT
    done_with = untouched or (record is not None and record.state in {HostState.EVACUATING, HostState.RELEASING} and not record.is_open)
    if not done_with:
        return
    _switch_on(world, host)
    unfinished = world.migrations.evacuations_from(host.name, "accepted", "pre-migrating", "done")
    if host.ready and unfinished:
        world.hosts.start_compute(host.name)
    elif host.ready and record is None and (host.forced_down or host.status == "disabled") and not host.disabled_reason.startswith(MARKER):
        _take_back_what_people_did(world, host)


def _take_back_what_people_did(world: World, host: ComputeHost) -> None:
    try:
        world.nova.set_forced_down(host.service_id, False, user="admin")
        world.nova.enable(host.service_id, user="admin")
    except ApiError as error:
        world.record("refused", host.name, f"not taken back yet: {error}")


def is_quiet(simulation: Simulation) -> bool:
    """Nothing is left to be done, neither by hanode nor by people: what is wrong now stays wrong."""
    world = simulation.world
    sound = all(host.ready and world.hosts.is_up(host.name) and host.status == "enabled" for host in world.hosts.all())
    idle = all(server.task_state is None for server in world.servers.live())
    open_still = any(key.startswith(RECOVERY) for key in simulation.space.entries)
    return sound and idle and not open_still and not any(_to_be_rebooted(simulation))
