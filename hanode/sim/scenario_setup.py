"""What may there be in a scenario before anything happens? The first table of words: hosts, servers, policy, and what is excused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanode.core.policy import StorePlan
from hanode.errors import ConfigError
from hanode.sim.run import TICK_GAP_S
from hanode.sim.scenario_stage import AnyOptions, Stage, Word, as_like, one_of
from hanode.sim.world import VOLUMES, Domain, Inventory, ServerGroup

CEPH_A = Domain("ceph-a", "rbd")


def _hosts(
    stage: Stage, names: list[str], domain: Domain = CEPH_A, declared: bool = True, zone: str = "nova", kind: str = "QEMU",
    vcpus: int = 32, ram_mb: int = 131072, resumes_guests: bool = False, starts_agent: bool = True, traits: str = "",
    devices: str = "",
) -> None:
    for name in names:
        host = stage.world.add_host(
            name, domain, zone, kind, inventories=inventories(vcpus, ram_mb), resumes_guests=resumes_guests, starts_agent=starts_agent
        )
        host.traits = frozenset(filter(None, traits.split(",")))
        host.devices = {alias: int(count) for alias, count in _pairs(devices).items()}
    if declared:
        stage.declared.setdefault(domain, []).extend(names)


def inventories(vcpus: int, ram_mb: int, disk_gb: int = 4000) -> dict[str, Inventory]:
    return {"VCPU": Inventory(vcpus), "MEMORY_MB": Inventory(ram_mb), "DISK_GB": Inventory(disk_gb)}


def _servers(
    stage: Stage, names: list[str], host: str, state: str = "active", task: str | None = None, off: bool = False, power: str = "",
    volume: bool = False, vcpus: int = 1, ram_mb: int = 1024, ephemeral_gb: int = 0, project: str = "project-a", image: str = "image-1",
    locked: bool = False, zone: str = "", specs: str = "", properties: str = "", metadata: str = "", address: str = "",
) -> None:
    for name in names:
        server = stage.world.add_server(
            name, host, state, running=False if off else None, volume_boot=volume, vcpus=vcpus, ram_mb=ram_mb, ephemeral_gb=ephemeral_gb,
            project_id=project, image_id=image, pinned_zone=zone, locked=locked,
        )
        server.task_state = task
        server.extra_specs, server.image_properties = _pairs(specs), _pairs(properties)
        server.metadata |= _pairs(metadata)
        server.addresses = (address,) if address else ()
        server.power_state = power or server.power_state


def _pairs(text: str) -> dict[str, str]:
    """"trait:A=required,b=c" as a mapping."""
    return {key: value for key, _, value in (pair.partition("=") for pair in filter(None, text.split(",")))}


def _fencing_level(stage: Stage, hosts: list[str], devices: int = 1, outlets: bool = False) -> None:
    for host in hosts:
        stage.world.add_level(host, devices, outlets)


def _store(stage: Stage, domain: str, proof: bool = True, volumes: bool = False, expires: float = 3600.0, kind: str = "rbd") -> None:
    """What `volumes` says is true: they lie there."""
    stage.stores[domain] = StorePlan(proof, kind, volumes=volumes, expires_s=expires, by_hand="`let {host} in again`")
    stage.world.cuts.together[domain] = frozenset({VOLUMES} if volumes else ())


def _aggregate(stage: Stage, name: str, hosts: list[str], rack: str = "", metadata: str = "") -> None:
    stage.world.add_aggregate(name, hosts, {**({"rack": rack} if rack else {}), **_pairs(metadata)})


def _group(stage: Stage, name: str, policy: str, servers: list[str]) -> None:
    stage.world.servers.groups.append(ServerGroup(name, policy, frozenset(map(stage.server_id, servers))))


def _daemons(stage: Stage, names: list[str], start: float = 0.0, gap: float = TICK_GAP_S) -> None:
    stage.daemons, stage.start_s, stage.tick_gap_s = tuple(names), start, gap


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


def _excused(stage: Stage, servers: list[str], why: str) -> None:
    stage.excused |= dict.fromkeys(servers, why)


def _on_purpose(stage: Stage, invariant: str, why: str) -> None:
    stage.on_purpose[invariant] = why


def _in_order(stage: Stage, servers: list[str], runs_first: bool = False, last_time: bool = False) -> None:
    stage.in_order.append((servers, runs_first, last_time))


def _persons_err(stage: Stage) -> None:
    stage.persons_err = True


def _until(stage: Stage, until_s: float) -> None:
    stage.until_s = until_s


SETUP: Mapping[str, Word] = {
    "seed": Word("NUMBER", _seed),
    "timings": AnyOptions("NAME=SECONDS ...", _timings),
    "policy": AnyOptions("OPTION=VALUE ...", Stage.choose),
    "hosts": Word("NAME... domain=DOMAIN declared=YES zone=NAME kind=NAME vcpus=NUMBER ram-mb=NUMBER resumes-guests=YES starts-agent=YES"
                  " traits=TEXT devices=TEXT",
                  _hosts),
    "by-hand": Word("HOST TEXT", lambda stage, host, text: stage.world.by_hand.update({host: text})),
    "fencing-level": Word("HOST... devices=NUMBER [outlets]", _fencing_level),
    "copied": Word("HOST...", lambda stage, hosts: stage.world.copied.update(hosts)),
    "without-device": Word("HOST...", lambda stage, hosts: stage.without_device.update(hosts)),
    "store": Word("NAME proof=YES volumes=YES expires=SECONDS kind=NAME", _store),
    "aggregate": Word("NAME HOST... rack=NAME metadata=TEXT", _aggregate),
    "image": Word("NAME tagged NAME", lambda stage, image, tag: stage.world.nova.tag_image(image, tag)),
    "servers": Word("NAME... on HOST state=STATE task=STATE [off] power=STATE [volume] vcpus=NUMBER ram-mb=NUMBER ephemeral-gb=NUMBER"
                    " project=NAME image=NAME [locked] zone=NAME specs=TEXT properties=TEXT metadata=TEXT address=NAME",
                    _servers),
    "group": Word("NAME GROUP SERVER...", _group),
    "daemons": Word("NAME... start=SECONDS gap=SECONDS", _daemons),
    "left-behind": Word("SERVER... because TEXT", _left_behind),
    "may-be-left-behind": Word("SERVER... because TEXT", _excused),
    "persons-err": Word("", _persons_err),  # a double run of a host that a person wrongly called dead is not hanode's
    "in-order": Word("SERVER... [runs-first] [last-time]", _in_order),
    "started-in-order": Word("SERVER...", lambda stage, servers: stage.started_in_order.append(servers)),
    "ends-on": Word("HOST SERVER...", lambda stage, host, servers: stage.ends_on.extend((name, host) for name in servers)),
    "alone": Word("SERVER...", lambda stage, servers: stage.alone.extend(servers)),
    "on-purpose": Word("INVARIANT because TEXT", _on_purpose),
    "until": Word("SECONDS", _until),
}
