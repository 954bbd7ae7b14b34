"""What does Nova's JSON say? Each fact is parsed once, here; a missing key raises KeyError, never becomes a default.

Only keys that the pinned microversion always shows are taken as present. Callers wrap these in `rest.parsing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hanode.adapters.rest import Json
from hanode.core.facts import Aggregate, Fleet, Host, Hypervisor, Instance, Migration, ServerGroup, Service

POWER_STATES = {0: "nostate", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}
ADDRESS_KIND = "OS-EXT-IPS:type"
VOLUMES = "os-extended-volumes:volumes_attached"
SOFT_DELETED = frozenset({"soft-delete", "deleted"})
OWNERS_STOPS = frozenset({"stop", "shelve", "delete"})


def service(row: Json) -> Service:
    """A row without a state is of a cell that did not answer: its status "UNKNOWN" is none either."""
    state = row.get("state")
    return Service(
        service_id=str(row["id"] if state else row.get("id", "")),
        binary=row["binary"],
        host=row["host"],
        state=state,
        status=row["status"] if state else None,
        disabled_reason=row.get("disabled_reason") or "",
        forced_down=bool(row.get("forced_down")),
        updated_at=row.get("updated_at") or "",
        zone=row.get("zone") or "",
    )


def hypervisor(row: Json) -> Hypervisor:
    return Hypervisor(
        host=row["service"]["host"],
        kind=row["hypervisor_type"],
        host_ip=row["host_ip"] or "",
        provider_id=str(row["id"]),
        hostname=row["hypervisor_hostname"],
        disk_gb=int(row["local_gb"] or 0),
    )


def aggregate(row: Json) -> Aggregate:
    return Aggregate(name=row["name"], hosts=frozenset(row["hosts"]), metadata=dict(row["metadata"]))


def instance(row: Json) -> Instance:
    flavor, image = row["flavor"], row["image"]
    return Instance(
        instance_id=row["id"],
        name=row["name"],
        host=row["OS-EXT-SRV-ATTR:host"] or "",
        vm_state=row["OS-EXT-STS:vm_state"],
        task_state=row["OS-EXT-STS:task_state"],
        power_state=POWER_STATES.get(row["OS-EXT-STS:power_state"], "nostate"),
        locked=bool(row["locked"]),
        locked_reason=row["locked_reason"] or "",
        project_id=row["tenant_id"],
        image_id=image["id"] if image else "",
        vcpus=int(flavor["vcpus"]),
        ram_mb=int(flavor["ram"]),
        disk_gb=int(flavor["disk"]),
        ephemeral_gb=int(flavor["ephemeral"]),
        swap_mb=int(flavor["swap"] or 0),
        zone=row.get("OS-EXT-AZ:availability_zone") or "",
        pinned_zone=(row["pinned_availability_zone"] or "") if "pinned_availability_zone" in row else None,
        metadata=dict(row["metadata"]),
        extra_specs=dict(flavor.get("extra_specs") or {}),  # left out where policy forbids it
        image_properties={key: str(value) for key, value in (image.get("properties") or {}).items()} if image else {},
        addresses=tuple(port["addr"] for network in row["addresses"].values() for port in network if port[ADDRESS_KIND] == "fixed"),
        volumes=len(row[VOLUMES]) if row.get(VOLUMES) is not None else None,
    )


def server_group(row: Json) -> ServerGroup:
    rules = row.get("rules") or {}
    return ServerGroup(row["id"], row["name"], row["policy"], frozenset(row["members"]), int(rules.get("max_server_per_host", 1)))


def migration(row: Json) -> Migration:
    return Migration(
        migration_id=str(row["uuid"]),
        instance_id=row["instance_uuid"],
        kind=row["migration_type"],
        status=row["status"],
        source=row["source_compute"] or "",
        target=row["dest_compute"] or "",
        created_at=row["created_at"] or "",
    )


def by_host(aggregates: Iterable[Aggregate]) -> Mapping[str, tuple[Aggregate, ...]]:
    """Those of each host, sorted by name; hosts with the same ones share one tuple."""
    found: dict[str, tuple[Aggregate, ...]] = {}
    one_more: dict[tuple[int, int], tuple[Aggregate, ...]] = {}  # by identity: comparing what large aggregates hold takes long
    for number, each in enumerate(sorted(aggregates, key=lambda a: a.name)):
        for host in each.hosts:
            before = found.get(host, ())
            found[host] = one_more.setdefault((id(before), number), (*before, each))
    return found


@dataclass(frozen=True)
class Shown:
    """What one list of services said, kept until the next: a row that says the very same is the same fact, and the host it is of the
    same host. Of ten thousand most are as they were three seconds ago, and nothing that follows from them is worked out again."""

    rows: Mapping[str, tuple[Json, Service]]  # by service id
    fleet: Fleet


def fleet(
    rows: Iterable[Json], hypervisors: Mapping[str, Hypervisor], aggregates: Mapping[str, tuple[Aggregate, ...]], before: Shown
) -> Shown:
    """`aggregates`: by host."""
    kept: dict[str, tuple[Json, Service]] = {}
    computes: dict[str, Service] = {}
    control = []
    for row in rows:
        former = before.rows.get(row.get("id", ""))
        known = former if former is not None and former[0] == row else (row, service(row))
        found = known[1]
        if found.service_id:
            kept[found.service_id] = known
        if found.binary == "nova-compute":
            computes[found.host] = found
        elif found.binary in {"nova-conductor", "nova-scheduler"}:
            control.append(found)
    hosts = {name: _host(computes[name], hypervisors.get(name), aggregates.get(name, ()), before.fleet) for name in sorted(computes)}
    return Shown(kept, Fleet(hosts, tuple(sorted(control, key=lambda s: (s.host, s.binary)))))


def _host(row: Service, hypervisor: Hypervisor | None, aggregates: tuple[Aggregate, ...], before: Fleet) -> Host:
    known = before.hosts.get(row.host)
    if known is not None and known.service is row and known.hypervisor is hypervisor and known.aggregates is aggregates:
        return known
    return Host(row.host, row, hypervisor, aggregates)


def stopped_by_owner(actions: Iterable[Json], since: str) -> bool:
    """Nova's own stops (it saw the guest shut down) carry no user. Both stamps are Nova's: our clock plays no part."""
    return any(row["action"] in OWNERS_STOPS and bool(row["user_id"]) and stamp(row["start_time"]) > stamp(since)
               for row in actions)


def stamp(text: str) -> datetime:
    """Nova writes UTC, with or without a Z."""
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
