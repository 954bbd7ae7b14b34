"""What does the world look like (facts), and what have we promised about it (records)? Frozen values only.

Facts are parsed once, at the edge. A fact that could not be read is `Unknown`, never an empty list.
Times ending in `_s` are seconds on this process's own boot clock; times ending in `_at` are texts for people
(or Nova's own stamps) and are never compared with our clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from hanode.core.lifecycle import IN_FLIGHT, HostState, InstanceState

T = TypeVar("T")


@dataclass(frozen=True)
class Unknown:
    """Could not look; the reason is for the operator. No dangerous decision rests on an Unknown."""

    reason: str


@dataclass(frozen=True)
class Reading(Generic[T]):
    """One read of the world. It is as old as the moment it was *begun*, whenever it came back."""

    value: T | Unknown
    started_s: float
    finished_s: float


class Power(StrEnum):
    """What a power device says. Only OFF is off: PoweringOff, Unknown or a paused board are OTHER."""

    ON = "on"
    OFF = "off"
    OTHER = "other"


@dataclass(frozen=True)
class Service:
    """One row of os-services. `state` is None when its cell did not answer (microversion 2.69 and newer)."""

    service_id: str
    binary: str
    host: str
    state: str | None  # "up" | "down"
    status: str | None = "enabled"  # "enabled" | "disabled"
    disabled_reason: str = ""
    forced_down: bool = False
    updated_at: str = ""  # moves with each heartbeat, and with our own writes to the service
    zone: str = ""


@dataclass(frozen=True)
class Hypervisor:
    """One row of os-hypervisors, joined to its service by host name."""

    host: str
    kind: str  # "QEMU", "KVM", "fake", "VMware vCenter Server", "ironic", ...
    host_ip: str
    provider_id: str  # uuid of the compute node, which is the uuid of its Placement resource provider
    hostname: str = ""


@dataclass(frozen=True)
class Aggregate:
    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """All that the cloud's inventory tells of one compute host."""

    name: str
    service: Service
    hypervisor: Hypervisor | None = None
    aggregates: tuple[Aggregate, ...] = ()  # sorted by name

    def metadata(self, key: str) -> str | None:
        """The first value of an aggregate metadata key, aggregates in order of name."""
        return next((a.metadata[key] for a in self.aggregates if key in a.metadata), None)


@dataclass(frozen=True)
class Fleet:
    """Everything one poll of os-services (joined with hypervisors and aggregates) shows."""

    hosts: Mapping[str, Host]  # nova-compute only, by service host name
    control: tuple[Service, ...]  # nova-conductor and nova-scheduler


@dataclass(frozen=True)
class Instance:
    """A server as Nova shows it to an administrator."""

    instance_id: str
    name: str
    host: str
    vm_state: str  # "active" | "stopped" | "error" | "paused" | "suspended" | "rescued" | "resized" | ...
    task_state: str | None = None
    power_state: str = "running"  # "running" | "shutdown" | "paused" | "suspended" | "crashed" | "nostate"
    locked: bool = False
    locked_reason: str = ""
    project_id: str = ""
    image_id: str = ""  # "" = boots from a volume
    vcpus: int = 1
    ram_mb: int = 0
    disk_gb: int = 0
    ephemeral_gb: int = 0
    swap_mb: int = 0
    zone: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def boots_from_volume(self) -> bool:
        return self.image_id == ""

    @property
    def has_local_disk(self) -> bool:
        """True when some disk of it lives on the compute host's own storage backend."""
        return not self.boots_from_volume or self.ephemeral_gb > 0 or self.swap_mb > 0


@dataclass(frozen=True)
class Migration:
    """A record of os-migrations: Nova's own evidence of an evacuation (or live migration, resize)."""

    migration_id: str
    instance_id: str
    kind: str  # "evacuation" | "live-migration" | "migration" | "resize"
    status: str  # "accepted" | "pre-migrating" | "done" | "completed" | "failed" | "error" | ...
    source: str
    target: str  # "" until known
    created_at: str = ""

    @property
    def is_open(self) -> bool:
        """Nova may still be working on it."""
        return self.status not in {"done", "completed", "failed", "error", "cancelled", "confirmed", "reverted"}

    @property
    def blocks_release(self) -> bool:
        """A restart of the host would still act on it (nova compute/manager.py `_destroy_evacuated_instances`)."""
        return self.kind == "evacuation" and self.status in {"accepted", "pre-migrating", "done"}


Resources = Mapping[str, int]  # Placement resource class -> amount


# --------------------------------------------------------------------------- what we ask and what came of it


class WantKind(StrEnum):
    """A read that the core asks the shell for; the key says of what."""

    FLEET = "fleet"  # key "": Fleet
    EVACUATIONS = "evacuations"  # key "": tuple[Migration, ...] of every evacuation that could block a release
    SERVERS = "servers"  # key host: tuple[Instance, ...] that Nova places there
    INSTANCE = "instance"  # key instance id: Instance, or None when Nova does not know it
    MIGRATIONS = "migrations"  # key host: tuple[Migration, ...] with it as source or target
    CONSUMPTION = "consumption"  # key provider id: Mapping[instance id, Resources] allocated there
    ROOM = "room"  # key "": Mapping[host, Resources] still free by Placement
    POWER = "power"  # key `levels.power_key`: Power, by the devices of one level
    PROBE = "probe"  # key host: bool, did it answer
    STOPPED_BY_OWNER = "stopped-by-owner"  # key "instance id@Nova stamp": bool, stopped by a user since then
    SKIP_IMAGES = "skip-images"  # key "": frozenset[str] of image ids never to be evacuated (amphorae)


@dataclass(frozen=True)
class Want:
    """Read this again when the newest reading is older than `every_s` (counted from its start)."""

    kind: WantKind
    key: str
    every_s: float


class ActionKind(StrEnum):
    POWER_OFF = "power-off"
    POWER_ON = "power-on"
    FORCE_DOWN = "force-down"
    CLEAR_FORCE_DOWN = "clear-force-down"
    DISABLE = "disable"
    ENABLE = "enable"
    EVACUATE = "evacuate"
    START = "start"
    STOP = "stop"
    UNLOCK = "unlock"


class Call(StrEnum):
    """How an evacuation is posted; what Nova then guarantees."""

    SCHEDULED = "scheduled"  # >= 2.29 with host: the scheduler validates the target
    ON_SHARED_STORAGE = "on-shared-storage"  # 2.13 with host: Nova refuses where the disk is not found


@dataclass(frozen=True, order=True)
class Action:
    """One write to the world. Its id is the same for every leader that would ask for it again."""

    host: str
    kind: ActionKind
    incident: str
    attempt: int = 1
    instance_id: str = ""
    name: str = ""  # of the instance, for people
    service_id: str = ""
    target: str = ""
    call: Call = Call.SCHEDULED
    reason: str = ""  # disabled_reason, or lock reason
    lock: bool = False  # EVACUATE: lock with our marker first
    provider_id: str = ""  # EVACUATE: leave its allocation on this provider alone first
    level: int = 1  # POWER_OFF, POWER_ON: of the host's power devices
    until_s: float = field(default=float("inf"), compare=False)  # after this what it rests on is too old: not sent any more

    @property
    def action_id(self) -> str:
        return "/".join((self.incident, self.kind, self.instance_id or self.host, str(self.attempt)))


class Result(StrEnum):
    DONE = "done"  # the other side said yes (an accepted power-off is not off)
    REFUSED = "refused"  # it said no: nothing happened
    UNREACHABLE = "unreachable"  # never delivered: nothing happened
    AMBIGUOUS = "ambiguous"  # perhaps
    NOT_SENT = "not-sent"  # we stopped before sending it: nothing happened


@dataclass(frozen=True)
class Outcome:
    """What became of an action; delivered to one tick."""

    action: Action
    result: Result
    detail: str
    finished_s: float


@dataclass(frozen=True)
class Command:
    """An operator's word, left in the journal; only the leader consumes it."""

    command_id: str
    verb: str  # a key of `commands.VERBS`, or of `commands.CLOUD_VERBS`
    host: str  # "" for what concerns all of them
    who: str
    why: str
    at: str  # for people
    ttl_s: float  # how long after the leader first sees it (or after `at`, for people) it is valid
    incident: str = ""
    attempt: int = 0
    instance_id: str = ""
    for_s: float = 0.0  # "pause": so long


@dataclass(frozen=True)
class Answer:
    """What the leader says to a command; written in the same transaction that consumes it."""

    command: Command
    accepted: bool
    text: str


@dataclass(frozen=True)
class Moment:
    """Now, twice: on our own clock for waiting, in UTC text for people."""

    s: float
    at: str


@dataclass(frozen=True)
class Snapshot:
    """The world as this tick knows it: the newest reading of everything that was wanted."""

    readings: Mapping[tuple[WantKind, str], Reading[object]] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    in_flight: frozenset[str] = frozenset()  # action ids the workers still hold
    commands: tuple[Command, ...] = ()
    expired: frozenset[str] = frozenset()  # ids of commands that were given too long ago
    journal_is_new: bool = False  # no earlier leader has left anything in this journal


# --------------------------------------------------------------------------- records (journaled)


@dataclass(frozen=True)
class Before:
    """An instance as it was before its host failed; what we promise to put back (S8)."""

    vm_state: str
    power_state: str
    locked: bool


@dataclass(frozen=True)
class InstanceRecovery:
    instance_id: str
    name: str
    state: InstanceState
    reason: str
    before: Before
    project_id: str = ""
    domain: str = ""  # storage domain of the host at SUSPECT; "" = none declared
    resources: Resources = field(default_factory=dict)
    attempt: int = 0  # evacuations posted, or about to be
    target: str = ""
    call: Call = Call.SCHEDULED
    baseline: tuple[str, ...] = ()  # evacuation records known before the post, by id
    avoid: tuple[str, ...] = ()  # targets of failed or unfinished attempts
    tries_before: int = 0  # attempts that an operator's retry has forgiven
    pinned: bool = False  # a post may still arrive: only the same target may be asked for again
    ours: bool = False  # some attempt of ours may have been posted
    unlocked: bool = False  # the tracked unlock step is done (or was never needed)
    requested_at: str = ""
    ended_at: str = ""


class ProofKind(StrEnum):
    DEVICE = "device"  # two readings of exactly off by the host's own device
    PERSON = "person"  # an audited confirmation


@dataclass(frozen=True)
class Proof:
    kind: ProofKind
    text: str
    at: str
    level: int = 1  # DEVICE: whose devices read off; they are read again before each batch


@dataclass(frozen=True)
class HostRecovery:
    """One incident of one host, with its instance table. One key in the journal."""

    host: str
    incident: str
    state: HostState
    reason: str
    opened_at: str
    cause: str = ""  # the verdict that opened the fencing
    recovery: str = "evacuate"  # "evacuate" | "restart" | "none"
    observe_only: bool = False  # mode observe: nothing is written to the world
    approved: bool = False  # mode approve: an operator said yes
    last_beat_at: str = ""  # Nova's stamp of the last heartbeat before the failure
    offs: tuple[str, ...] = ()  # one per power-off intended in this round: its Result, "" while not known
    offs_before: int = 0  # power-offs of earlier rounds of fencing in this incident
    proof: Proof | None = None
    powered_on: bool = False  # recovery "restart": power-on was asked for
    release_asked: bool = False
    instances: Mapping[str, InstanceRecovery] = field(default_factory=dict)
    instances_read: bool = False  # the table rests on a complete read
    fenced_at: str = ""
    service_id: str = ""  # of its nova-compute when it fell silent; another one is another host under its name

    @property
    def fence_attempt(self) -> int:
        return self.offs_before + len(self.offs)

    @property
    def is_open(self) -> bool:
        """Some evacuation from it may be under way in Nova: it must stay off, whatever it shows."""
        return any(i.state in IN_FLIGHT for i in self.instances.values())

    @property
    def off_may_have_reached(self) -> bool:
        """Some off may have arrived at a device: the host may go down at any moment, whatever it shows now."""
        harmless = {Result.REFUSED, Result.UNREACHABLE, Result.NOT_SENT}
        return any(off not in harmless for off in self.offs)


@dataclass(frozen=True)
class Roster:
    """What must survive a change of leader but belongs to no incident; one key in the journal."""

    seen: frozenset[str] = frozenset()  # hosts some leader has seen up
    held: Mapping[str, str] = field(default_factory=dict)  # host -> name of the hold under which it fell silent
    quarantined: Mapping[str, str] = field(default_factory=dict)  # host -> why its power device is not believed
    paused: str = ""  # by whom, when and why an operator wants nobody fenced; "" when nobody does
    paused_s: float = 0.0  # how much of that was left when it was last written


@dataclass(frozen=True)
class Records:
    """The journal as this tick read it."""

    hosts: Mapping[str, HostRecovery] = field(default_factory=dict)
    roster: Roster = Roster()
