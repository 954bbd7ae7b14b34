"""What have we promised about the world? Records, frozen, in the journal: one key for each host in recovery, one for the roster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hanode.core.circumstances import Circumstances
from hanode.core.facts import Resources
from hanode.core.lifecycle import IN_FLIGHT, DrillState, FailbackState, HostState, InstanceState, SpareState, WorkState
from hanode.core.model import Call, Result


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
    priority: str = "medium"  # one of `priority.Priority`
    group: str = ""  # by this name others may start after it
    after: tuple[str, ...] = ()  # names of instances or groups of its project that it starts after
    check: str = ""  # how it shows that it serves again: "tcp:PORT", or "program:" and the rule that names it; "": by being active
    address: str = ""  # where it is asked
    served: str = ""  # what came of that: "answers" | "late"; "" while not known
    domain: str = ""  # storage domain of the host at SUSPECT; "" = none declared
    resources: Resources = field(default_factory=dict)
    attempt: int = 0  # evacuations posted, or about to be
    target: str = ""
    call: Call = Call.SCHEDULED
    arrives_stopped: bool = False  # asked for by `Call.STOPPED`: it is started when its turn comes
    baseline: tuple[str, ...] = ()  # evacuation records known before the post, by id
    avoid: tuple[str, ...] = ()  # targets of failed or unfinished attempts
    tries_before: int = 0  # attempts that an operator's retry has forgiven
    pinned: bool = False  # a post may still arrive: only the same target may be asked for again
    ours: bool = False  # some attempt of ours may have been posted
    unlocked: bool = False  # the tracked unlock step is done (or was never needed)
    failed_hosts: tuple[str, ...] = ()  # on which it ran when they failed lately, this one too; fewer than two are not told
    vouched: bool = False  # an operator lets it go all the same
    requested_at: str = ""
    ended_at: str = ""

    @property
    def is_doubted(self) -> bool:
        """It ran on more than one host that failed lately: it may be what kills them."""
        return len(self.failed_hosts) > 1

    @property
    def is_to_start(self) -> bool:
        """It has arrived stopped, and is started in its turn."""
        return self.arrives_stopped and self.state is InstanceState.MOVED


class ProofKind(StrEnum):
    DEVICE = "device"  # two readings of exactly off by the host's own device
    PERSON = "person"  # an audited confirmation
    STORAGE = "storage"  # two readings of "cut off" by the store of its domain: it may run, and writes nothing there


@dataclass(frozen=True)
class Proof:
    kind: ProofKind
    text: str
    at: str
    level: int = 1  # DEVICE: whose devices read off; they are read again before each batch
    overrules: bool = False  # PERSON: said in the face of a device that read on, so that what it goes on reading tells nothing


@dataclass(frozen=True)
class Cut:
    """A store was told that the host shall write nothing there: so it may be cut off, whatever came of that."""

    domain: str
    for_s: float  # after so long the store forgets it, if nobody renews it; 0: never
    since_at: str
    renewed_at: str = ""  # from when on that is counted, by the newest order that was carried out; for people
    reached: bool = False  # some order may have reached the store; before, a failed one binds nobody
    stood: bool = False  # it was the proof: it is kept up until the host is released
    lifting: bool = False  # nobody renews it any more; the store is told to let the host write again


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
    outlived: bool = False  # it showed life for so long that no off of this round can be on its way; it keeps no other host waiting
    cut: Cut | None = None  # None: certainly not by us
    cut_orders: int = 0  # to cut it off or to keep that up, of this incident
    cut_tries: tuple[str, ...] = ()  # one per cut intended in this round: its Result, "" while not known
    proof: Proof | None = None
    powered_on: bool = False  # recovery "restart": power-on was asked for
    release_asked: bool = False
    agent_restarted: bool = False  # its nova-compute alone was silent, and was told to start again
    instances: Mapping[str, InstanceRecovery] = field(default_factory=dict)
    instances_read: bool = False  # the table rests on a complete read
    fenced_at: str = ""
    ended_at: str = ""  # when history took it
    service_id: str = ""  # of its nova-compute when it fell silent; another one is another host under its name
    circumstances: Circumstances | None = None  # for playing it again; None: its fencing has not begun, or an older version wrote it

    @property
    def fence_attempt(self) -> int:
        return self.offs_before + len(self.offs)

    @property
    def is_open(self) -> bool:
        """Some evacuation from it may be under way in Nova: it must stay off, whatever it shows."""
        return any(i.state in IN_FLIGHT for i in self.instances.values())

    @property
    def cut_text(self) -> str:
        """For people: may it be cut off from its disks, by which store, and until when; "" when it certainly is not."""
        if self.cut is None:
            return ""
        if self.cut.lifting:
            return f"storage {self.cut.domain} is told to let it write again"
        lasts = f" for {self.cut.for_s / 60:.0f} min from {self.cut.renewed_at} on, and that is renewed" if self.cut.for_s else ""
        said = f"cut off from its disks by storage {self.cut.domain}{lasts if self.cut.renewed_at else ''}"
        return f"{said}; its guests may still run and answer there" if self.cut.stood else f"perhaps {said}"

    @property
    def off_may_have_reached(self) -> bool:
        """Some off may have arrived at a device: the host may go down at any moment, whatever it shows now."""
        harmless = {Result.REFUSED, Result.UNREACHABLE, Result.NOT_SENT}
        return any(off not in harmless for off in self.offs)


@dataclass(frozen=True)
class Move:
    """A migration that Nova was, or is about to be, asked for; written before it is asked."""

    name: str
    target: str
    cold: bool
    attempt: int
    known: int  # records of its migrations away from this host before this one: they are never deleted
    reason: str = ""  # how it failed; "" while it may be under way
    forgiven: int = 0  # attempts before an operator gave the word again

    @property
    def tries(self) -> int:
        return self.attempt - self.forgiven


@dataclass(frozen=True)
class Maintenance:
    """People work on a host: who, why, for how much longer, and how far hanode has made way for them."""

    host: str
    work: str
    who: str
    why: str
    begun_at: str
    left_s: float  # when it was last written; 0: overdue
    state: WorkState
    drain: bool = True
    was_empty: bool = False  # it was said that the host may be switched off
    moves: Mapping[str, Move] = field(default_factory=dict)  # by instance id
    reason: str = ""  # what it waits for

    @property
    def is_drained(self) -> bool:
        """Nothing is on it, by the last complete read."""
        return self.drain and self.state in {WorkState.EMPTY, WorkState.AWAY}

    @property
    def is_kept(self) -> bool:
        """What is on it stays there and is not touched, by an operator's word."""
        return not self.drain and self.state in {WorkState.UNDRAINED, WorkState.AWAY}

    @property
    def is_overdue(self) -> bool:
        return self.left_s <= 0


@dataclass(frozen=True)
class Drill:
    """The failure of a host is rehearsed: by whose word, with which canaries, and how far it is."""

    host: str
    drill: str
    who: str
    why: str
    begun_at: str
    canaries: tuple[str, ...]  # ids of the only instances that may be on it when its power is cut
    state: DrillState
    made: bool = False  # they were made for it, and are deleted by whoever made them
    reason: str = ""  # why it ended before its end
    incident: str = ""  # of its recovery
    stamps: Mapping[str, str] = field(default_factory=dict)  # cut, off, proven, moved, accounted, back, released -> when


@dataclass(frozen=True)
class Mute:
    words: str  # by whom, when, for how long and why
    left_s: float  # how much of that was left when it was last written


@dataclass(frozen=True)
class Flap:
    """How often a host was fenced lately."""

    fenced: int  # times, each within flap_window_s of the time before
    left_s: float  # until that is forgotten, as it was last written


@dataclass(frozen=True)
class Failure:
    """A host was proven dead: who ran on it, for as long as that may tell something of them."""

    host: str
    shared: tuple[str, ...]  # with other hosts, in words: ("rack r1",)
    instances: frozenset[str]
    left_s: float  # until that is forgotten, as it was last written


@dataclass(frozen=True)
class Spare:
    """A host kept in reserve that is in use: for whom, and how it is put back."""

    host: str
    loan: str  # a name for this use of it, as an incident has one
    reason: str  # why it was disabled, in its operator's words: put back with it
    state: SpareState
    incidents: tuple[str, ...]  # of the hosts in whose place it stands
    since_at: str
    give_back: bool = False  # an operator wants it back, whoever still is away


@dataclass(frozen=True)
class Guest:
    """An instance that was moved away from a host when that failed, and may be moved back."""

    name: str
    at: str  # where its evacuation has put it; moved on from there since, it is left where its owner has put it
    attempt: int = 0  # migrations home that were asked for, or are about to be
    cold: bool = False
    known: int = 0  # records of its migrations home before the last attempt
    under_way: bool = False
    end: str = ""  # what came of it, in words; "" while it is still to be moved
    is_home: bool = False


@dataclass(frozen=True)
class Failback:
    """What was moved away from a host that is back in service."""

    host: str
    failback: str
    incident: str  # in which it was moved away
    state: FailbackState
    left_s: float  # until an offer that nobody takes is forgotten, as it was last written
    guests: Mapping[str, Guest] = field(default_factory=dict)  # by instance id
    who: str = ""
    why: str = ""


@dataclass(frozen=True)
class Roster:
    """What must survive a change of leader but belongs to no incident; one key in the journal."""

    seen: frozenset[str] = frozenset()  # hosts some leader has seen up
    held: Mapping[str, str] = field(default_factory=dict)  # host -> name of the hold under which it fell silent
    quarantined: Mapping[str, str] = field(default_factory=dict)  # host -> why its power device is not believed
    identities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # host -> device -> as told at first contact
    muted: Mapping[str, Mute] = field(default_factory=dict)  # host -> nobody wants to hear that its fencing would fail
    paused: str = ""  # by whom, when and why an operator wants nobody fenced; "" when nobody does
    paused_s: float = 0.0  # how much of that was left when it was last written
    maintenance: Mapping[str, Maintenance] = field(default_factory=dict)  # by host
    drills: Mapping[str, Drill] = field(default_factory=dict)  # by host; never more than one is under way
    flaps: Mapping[str, Flap] = field(default_factory=dict)  # hosts that were fenced within flap_window_s
    failures: Mapping[str, Failure] = field(default_factory=dict)  # by incident, for repeat_window_s
    spares: Mapping[str, Spare] = field(default_factory=dict)  # hosts in reserve that are in use, by host
    failbacks: Mapping[str, Failback] = field(default_factory=dict)  # what may be, or is, moved back, by host
    members: Mapping[str, str] = field(default_factory=dict)  # host -> storage domain of which it has been for join_s; none: not looked yet


@dataclass(frozen=True)
class Records:
    """The journal as this tick read it."""

    hosts: Mapping[str, HostRecovery] = field(default_factory=dict)
    roster: Roster = Roster()
