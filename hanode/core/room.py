"""What is asked for, and what is left to give? One instance that wants a host, and the room that shrinks with every promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from hanode.core.facts import Host, Instance, Resources
from hanode.core.needs import Needs, needs_of
from hanode.core.once import once
from hanode.core.policy import Policy, StorageDomain
from hanode.core.records import InstanceRecovery


@dataclass(frozen=True)
class Limits:
    """How many evacuations may be under way; a plan on paper has none."""

    at_once: float = float("inf")
    per_target: float = float("inf")
    per_domain: float = float("inf")
    per_cell: float = float("inf")
    groups_one_by_one: bool = False  # no two members of a hard server group on their way together
    doubted_alone: bool = False  # beside an instance that may be what kills hosts nothing else is on its way


NO_LIMITS = Limits()


@dataclass(frozen=True)
class GroupNow:
    """A server group as it stands: its rule, and where its members are or are on their way to (never the failed host itself)."""

    name: str
    policy: str  # "affinity" | "anti-affinity" | "soft-affinity" | "soft-anti-affinity"
    members: Mapping[str, str] = field(default_factory=dict)  # instance id -> host, of those that run or will run there
    at_home: frozenset[str] = frozenset()  # members that still count as being on a failed host
    moving: frozenset[str] = frozenset()  # members that are on their way
    max_per_host: int = 1
    unread: str = ""  # why it is not known where they all are; "" when it is

    @property
    def is_hard(self) -> bool:
        return not self.policy.startswith("soft")


@dataclass(frozen=True)
class Ground:
    """What is known of the cloud beside hosts and their room. What nobody has asked for is missing."""

    groups: Mapping[str, GroupNow] = field(default_factory=dict)  # by group id
    group_of: Mapping[str, str] = field(default_factory=dict)  # instance id -> group id
    traits: Mapping[str, frozenset[str]] = field(default_factory=dict)  # trait -> provider ids that have it
    pending: frozenset[str] = frozenset()  # instances for which something is still being read: their turn comes with the answer
    racks: Mapping[str, str] = field(default_factory=dict)  # host -> the failure domain over which instances are spread
    new: Mapping[str, str] = field(default_factory=dict)  # host whose storage domain is not believed yet -> why
    unlike: Mapping[str, str] = field(default_factory=dict)  # host whose disks are not those of its storage domain, by their size -> why
    images_unread: bool = False  # nobody knows whose image is an amphora's
    cut_off: frozenset[str] = frozenset()  # hosts on which no port could be bound: Neutron calls their L2 agent dead


@dataclass(frozen=True)
class Ask:
    """One instance that wants a host."""

    instance: Instance
    record: InstanceRecovery
    source: Host
    domain: StorageDomain | None  # as journaled when the host fell silent
    policy: Policy

    @once
    def needs(self) -> Needs:
        return needs_of(self.instance)

    @once
    def kind(self) -> Hashable:
        """Asks of one kind and project get the same answer of every standing rule, and want the same room."""
        what, source = self.instance, self.source
        return (
            source.hypervisor.kind if source.hypervisor else "",
            source.service.zone,
            source.metadata(self.policy.cell_key),
            self.domain,
            what.has_local_disk,
            what.boots_from_volume,
            what.pinned_zone,
            self.needs,
            tuple(sorted(self.record.resources.items())),
        )


@dataclass
class Room:
    """What is still free, by host, less what has already been promised; the accumulator of a fold over many instances."""

    free: dict[str, dict[str, int]] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    ground: Ground = field(default_factory=Ground)
    in_flight: Counter[str] = field(default_factory=Counter)  # evacuations under way, by target
    in_domain: Counter[str] = field(default_factory=Counter)
    cells: Mapping[str, str] = field(default_factory=dict)  # host -> its cell of Nova, where that is declared
    in_cell: Counter[str] = field(default_factory=Counter)
    in_rack: Counter[str] = field(default_factory=Counter)
    coming: set[str] = field(default_factory=set)  # hosts to which something is under way
    kept: set[str] = field(default_factory=set)  # hosts to which one goes that goes alone
    hurried: set[str] = field(default_factory=set)  # instances that were to go alone, and have waited for that for long enough
    total: int = 0
    retries: float = float("inf")  # so many more of those that have failed before
    joined: dict[str, dict[str, str]] = field(default_factory=dict)  # group id -> instance id -> host promised in this fold
    shelves: dict[Hashable, object] = field(default_factory=dict)  # what `place` remembers between two asks of one kind

    def charge(self, host: str, resources: Resources) -> None:
        left = self.free.setdefault(host, {})
        for name, amount in resources.items():
            left[name] = left.get(name, 0) - amount

    def start(self, host: str, domain: str, resources: Resources) -> None:
        """One more evacuation is under way to this host."""
        self.charge(host, resources)
        self.in_flight[host] += 1
        self.coming.add(host)
        self.in_domain[domain] += 1
        self.in_cell[self.cells.get(host, "")] += 1
        self.in_rack[self.ground.racks.get(host, "")] += 1
        self.total += 1

    def take(self, ask: Ask, host: str) -> None:
        """This instance is promised to this host: its room, its place in the line and its seat in its group."""
        self.start(host, ask.domain.name if ask.domain else "", ask.record.resources)
        self.seat(ask, host)
        if ask.record.is_doubted:
            self.kept.add(host)

    def seat(self, ask: Ask, host: str) -> None:
        group = self.ground.group_of.get(ask.instance.instance_id)
        if group:
            self.joined.setdefault(group, {})[ask.instance.instance_id] = host

    def reserve(self, ask: Ask, host: str) -> None:
        """It has to wait for its turn: what comes after it must not take its room meanwhile."""
        self.charge(host, ask.record.resources)
        self.seat(ask, host)

    def others_of(self, ask: Ask) -> tuple[GroupNow, Mapping[str, str]] | None:
        """The group of an instance and where its other members are, with what this fold has promised; None without a group."""
        group_id = self.ground.group_of.get(ask.instance.instance_id)
        if group_id is None:
            return None
        group = self.ground.groups[group_id]
        seats = {**group.members, **self.joined.get(group_id, {})}
        return group, {key: host for key, host in seats.items() if key != ask.instance.instance_id}

    def is_moving(self, ask: Ask) -> str:
        """The hard server group of which another member is on its way; "" when there is none.

        Asked for together, Nova's scheduler sees neither on its way (LP1735407).
        """
        found = self.others_of(ask) if self.limits.groups_one_by_one else None
        if found is None or not found[0].is_hard:
            return ""
        group_id = self.ground.group_of[ask.instance.instance_id]
        others = {*found[0].moving, *self.joined.get(group_id, {})} - {ask.instance.instance_id}
        return found[0].name if others else ""

    def is_full(self, domain: str, host: str) -> bool:
        """Nova evacuates within a cell, so the one of the target is that of the failed host as well."""
        cell = self.cells.get(host)
        cell_is_full = cell is not None and self.in_cell[cell] >= self.limits.per_cell
        return self.total >= self.limits.at_once or self.in_domain[domain] >= self.limits.per_domain or cell_is_full
