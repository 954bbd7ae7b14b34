"""What is asked of the world, what is done to it, and what a tick knows? Wants, actions, outcomes, commands, the snapshot. Frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hanode.core.facts import Reading


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
    CHECK = "check"  # key host: tuple[DeviceCheck, ...], all its power devices, without need
    PROBE = "probe"  # key `signals.probe_key`: bool, did the host answer there
    WITNESS = "witness"  # key host, or `signals.NOVA`: what the standbys see of it; answered in `Snapshot.witnessed`
    STOPPED_BY_OWNER = "stopped-by-owner"  # key "instance id@Nova stamp": bool, stopped by a user since then
    ACCESS = "access"  # key `stores.store_key`: Access, may the host write in that store
    STORE = "store"  # key `stores.store_key` without a host: StoreCheck, without need
    STORAGE = "storage"  # key domain: bool, is it well by the operator's health command
    GROUPS = "groups"  # key "": tuple[ServerGroup, ...] of every project
    DEAD_AGENTS = "dead-agents"  # key "": frozenset[host] whose L2 agent Neutron calls dead
    TRAIT = "trait"  # key trait: frozenset[provider id] of the compute nodes that have it
    SERVES = "serves"  # key `serving.serves_key`: bool, does an instance that others wait for answer
    CAPACITY = "capacity"  # key "": tuple[Finding, ...], what the cloud promises and whether it holds
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
    CUT = "cut-off"
    KEEP_CUT = "keep-cut"
    RESTORE = "restore-access"
    FORCE_DOWN = "force-down"
    CLEAR_FORCE_DOWN = "clear-force-down"
    DISABLE = "disable"
    ENABLE = "enable"
    EVACUATE = "evacuate"
    START = "start"
    STOP = "stop"
    UNLOCK = "unlock"
    LIVE_MIGRATE = "live-migrate"
    COLD_MIGRATE = "cold-migrate"
    CONFIRM_MIGRATION = "confirm-migration"
    RESTART_AGENT = "restart-agent"


class Call(StrEnum):
    """How an evacuation is posted; what Nova then guarantees."""

    SCHEDULED = "scheduled"  # >= 2.29 with host: the scheduler validates the target
    STOPPED = "stopped"  # >= 2.95 with host: as SCHEDULED, and it arrives stopped, unless it was in ERROR
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
    target: str = ""  # a host; RESTART_AGENT: the address of this one
    call: Call = Call.SCHEDULED
    reason: str = ""  # disabled_reason, or lock reason
    lock: bool = False  # EVACUATE: lock with our marker first
    provider_id: str = ""  # EVACUATE: leave its allocation on this provider alone first
    level: int = 1  # POWER_OFF, POWER_ON: of the host's power devices
    store: str = ""  # CUT, KEEP_CUT, RESTORE: the storage domain
    for_s: float = 0.0  # CUT, KEEP_CUT: so long
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
    lasted_s: float = 0.0  # the call itself, without what prepares it


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
    for_s: float = 0.0  # "pause", "maintenance", "fence-mute": so long
    drain: bool = True  # "maintenance": move its instances away first
    canaries: tuple[str, ...] = ()  # "drill": the instances that it is about
    made: bool = False  # "drill": they were made for it


@dataclass(frozen=True)
class Age:
    """What the shell can tell of how old a command is."""

    expired: str = ""  # why it is not obeyed any more; "" while it is valid
    clocks_apart_s: float = 0.0  # a fresh command whose stamp says that it is so old (or, below zero, of the future)


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
    witnessed: Mapping[tuple[str, str], Reading[object]] = field(default_factory=dict)  # (witness, `signals.probe_key` or NOVA)
    willing: frozenset[str] = frozenset()  # witnesses that would take office
    commands: tuple[Command, ...] = ()
    ages: Mapping[str, Age] = field(default_factory=dict)  # of commands, by id
