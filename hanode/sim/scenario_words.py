"""Which words may a scenario use, what does each want, and what does it do? Two tables: what there is, and what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hanode.errors import ConfigError
from hanode.sim.scenario_stage import AnyOptions, Stage, Word, as_like, one_of
from hanode.sim.world import Answer, ApiError, ApiFault, BmcMode, Domain, Effect, Inventory

CEPH_A = Domain("ceph-a", "rbd")


# --------------------------------------------------------------------------- what there is


def _hosts(
    stage: Stage, names: list[str], domain: Domain = CEPH_A, declared: bool = True, zone: str = "nova", kind: str = "QEMU",
    vcpus: int = 32, ram_mb: int = 131072, resumes_guests: bool = False, starts_agent: bool = True,
) -> None:
    inventories = {"VCPU": Inventory(vcpus), "MEMORY_MB": Inventory(ram_mb), "DISK_GB": Inventory(4000)}
    for name in names:
        stage.world.add_host(name, domain, zone, kind, inventories=inventories, resumes_guests=resumes_guests, starts_agent=starts_agent)
    if declared:
        stage.declared.setdefault(domain, []).extend(names)


def _servers(
    stage: Stage, names: list[str], host: str, state: str = "active", task: str | None = None, off: bool = False, power: str = "",
    volume: bool = False, vcpus: int = 1, ram_mb: int = 1024, ephemeral_gb: int = 0, project: str = "project-a", image: str = "image-1",
    locked: bool = False, zone: str = "",
) -> None:
    for name in names:
        server = stage.world.add_server(
            name, host, state, running=False if off else None, volume_boot=volume, vcpus=vcpus, ram_mb=ram_mb, ephemeral_gb=ephemeral_gb,
            project_id=project, image_id=image, pinned_zone=zone, locked=locked,
        )
        server.task_state = task
        server.power_state = power or server.power_state


def _aggregate(stage: Stage, name: str, hosts: list[str]) -> None:
    stage.world.add_aggregate(name, hosts)


def _daemons(stage: Stage, names: list[str], start: float = 0.0) -> None:
    stage.daemons, stage.start_s = tuple(names), start


def _seed(stage: Stage, seed: int) -> None:
    _not_built(stage)
    stage.seed = seed


def _timings(stage: Stage, words: Mapping[str, str]) -> None:
    _not_built(stage)
    known = vars(stage.timings)
    stage.timings = replace(stage.timings, **{one_of(known, name, "timing"): as_like(known[name], text) for name, text in words.items()})


def _not_built(stage: Stage) -> None:
    if stage.is_built:
        raise ConfigError("comes too late: say it before the first hosts")


def _left_behind(stage: Stage, servers: list[str], why: str) -> None:
    stage.left_behind |= dict.fromkeys(servers, why)


def _until(stage: Stage, until_s: float) -> None:
    stage.until_s = until_s


SETUP: Mapping[str, Word] = {
    "seed": Word("NUMBER", _seed),
    "timings": AnyOptions("NAME=SECONDS ...", _timings),
    "policy": AnyOptions("OPTION=VALUE ...", Stage.choose),
    "hosts": Word("NAME... domain=DOMAIN declared=YES zone=NAME kind=NAME vcpus=NUMBER ram-mb=NUMBER resumes-guests=YES starts-agent=YES",
                  _hosts),
    "without-device": Word("HOST...", lambda stage, hosts: stage.without_device.update(hosts)),
    "aggregate": Word("NAME HOST...", _aggregate),
    "image": Word("NAME tagged NAME", lambda stage, image, tag: stage.world.nova.tag_image(image, tag)),
    "servers": Word("NAME... on HOST state=STATE task=STATE [off] power=STATE [volume] vcpus=NUMBER ram-mb=NUMBER ephemeral-gb=NUMBER"
                    " project=NAME image=NAME [locked] zone=NAME", _servers),
    "daemons": Word("NAME... start=SECONDS", _daemons),
    "left-behind": Word("SERVER... because TEXT", _left_behind),
    "until": Word("SECONDS", _until),
}


# --------------------------------------------------------------------------- what happens


def _of_hosts(verb: str) -> Callable[..., None]:
    return lambda stage, *words, **options: getattr(stage.world.hosts, verb)(*words, **options)


def _misbehave(stage: Stage, host: str, mode: BmcMode, seconds: float = 0.0, acts_on: str = "") -> None:
    stage.world.bmcs[host].misbehave(mode, seconds, acts_on)


def _api_fault(stage: Stage, call: str, answer: Answer, effect: Effect = Effect.NONE, times: int = 1, delay: float = 0.0) -> None:
    stage.world.control.inject(ApiFault(call, answer, effect, times, delay))


def _owner(stage: Stage, wish: str, server: str) -> None:
    """A tenant; Nova may refuse, and the story then says so."""
    nova, row = stage.world.nova, stage.world.servers.named(server)
    try:
        if wish in ("pause", "unpause"):
            row.vm_state, row.power_state = ("paused", "paused") if wish == "pause" else ("active", "running")
            nova.note_action(row, wish, "owner")
        else:
            getattr(nova, wish)(row.instance_id, user="owner")
    except ApiError as error:
        stage.simulation.story.say("owner", f"is refused: {error}")


def _admin_evacuate(stage: Stage, server: str, target: str) -> None:
    stage.world.nova.evacuate(stage.server_id(server), target, user="admin")


def _service(verb: str) -> Callable[..., None]:
    def do(stage: Stage, host: str, *words: object) -> None:
        getattr(stage.world.nova, verb)(stage.world.hosts[host].service_id, *words, user="admin")
    return do


def _nova_says(stage: Stage, server: str, state: str = "", task: str = "") -> None:
    row = stage.world.servers.named(server)
    row.vm_state = state or row.vm_state
    row.task_state = {"": row.task_state, "none": None}.get(task, task)


def _live_migration(stage: Stage, server: str, target: str) -> None:
    row = stage.world.servers.named(server)
    row.task_state = "migrating"
    stage.world.migrations.add(row.instance_id, "live-migration", "running", row.host, target)


def _live_migration_ends(stage: Stage, server: str, status: str) -> None:
    row = stage.world.servers.named(server)
    record = next(r for r in reversed(stage.world.migrations.rows) if r.instance_id == row.instance_id and r.kind == "live-migration")
    stage.world.migrations.set_status(record, status, "live migration ended")
    row.task_state = None


def _operator(stage: Stage, verb: str, host: str, why: str, server: str = "") -> None:
    stage.simulation.command(verb, host, why, instance_id=stage.server_id(server) if server else "")


def _kill(stage: Stage, daemon: str, **options: float) -> None:
    stage.simulation.kill(daemon, options.get("for", 5.0))


def _cut(stage: Stage, daemon: str, port: str) -> None:
    stage.simulation.daemons[daemon].node.cut.add(port)


def _mend(stage: Stage, daemon: str, port: str) -> None:
    stage.simulation.daemons[daemon].node.cut.discard(port)


def _resume(stage: Stage, daemon: str, clock_stood_still: bool = False) -> None:
    stage.simulation.daemons[daemon].node.resume(clock_stood_still)


EVENTS: Mapping[str, Word] = {
    # a host
    "kill-compute": Word("HOST", _of_hosts("kill_compute")),
    "start-compute": Word("HOST", _of_hosts("start_compute")),
    "freeze-compute": Word("HOST", _of_hosts("freeze_compute")),
    "thaw-compute": Word("HOST", _of_hosts("thaw_compute")),
    "freeze-kernel": Word("HOST", _of_hosts("freeze_kernel")),
    "thaw-kernel": Word("HOST", _of_hosts("thaw_kernel")),
    "panic": Word("HOST", _of_hosts("panic")),
    "reboot": Word("HOST", _of_hosts("reboot")),
    "power-off": Word("HOST", lambda stage, host: stage.world.hosts.power_off(host, "by a hand")),
    "power-on": Word("HOST", lambda stage, host: stage.world.hosts.power_on(host, "by a hand")),
    "cut-mains": Word("HOST", _of_hosts("cut_mains")),
    "restore-mains": Word("HOST [powers-on]", _of_hosts("restore_mains")),
    "cut-network": Word("HOST probe-too=YES", _of_hosts("cut_network")),
    "restore-network": Word("HOST", _of_hosts("restore_network")),
    "unmount": Word("HOST", _of_hosts("unmount")),
    "mount": Word("HOST", _of_hosts("mount")),
    "device": Word("HOST DEVICE seconds=SECONDS acts-on=HOST", _misbehave),
    # the control plane
    "fail": Word("PART", lambda stage, part: stage.world.control.fail(part)),
    "restore": Word("PART", lambda stage, part: stage.world.control.restore(part)),
    "api-fault": Word("CALL ANSWER effect=EFFECT times=NUMBER delay=SECONDS", _api_fault),
    "no-valid-host": Word("SERVER", lambda stage, server: stage.world.control.no_valid_host.add(stage.server_id(server))),
    "valid-host": Word("SERVER", lambda stage, server: stage.world.control.no_valid_host.discard(stage.server_id(server))),
    "claims-fail": Word("HOST", lambda stage, host: stage.world.evacuation.claims_fail_on.add(host)),
    "nova-says": Word("SERVER state=STATE task=STATE", _nova_says),
    "live-migration": Word("SERVER to HOST", _live_migration),
    "live-migration-ends": Word("SERVER STATE", _live_migration_ends),
    # people
    "owner": Word("WISH SERVER", _owner),
    "admin-evacuates": Word("SERVER to HOST", _admin_evacuate),
    "admin-disables": Word("HOST TEXT", _service("disable")),
    "admin-enables": Word("HOST", _service("enable")),
    "admin-forces-down": Word("HOST", lambda stage, host: _service("set_forced_down")(stage, host, True)),
    "operator": Word("VERB HOST TEXT server=SERVER", _operator),
    # daemons
    "kill": Word("DAEMON for=SECONDS", _kill),
    "pause": Word("DAEMON", lambda stage, daemon: stage.simulation.daemons[daemon].node.pause()),
    "resume": Word("DAEMON [clock-stood-still]", _resume),
    "cut": Word("DAEMON from PORT", _cut),
    "mend": Word("DAEMON from PORT", _mend),
    "wipe-journal": Word("", lambda stage: stage.simulation.space.entries.clear()),
}
