"""What does one tick decide, and what does a leader remember between ticks? Data only; acting is the shell's line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hanode.core.facts import DeviceCheck, Power
from hanode.core.findings import Finding
from hanode.core.model import Action, Answer, Outcome, Want
from hanode.core.once import once
from hanode.core.pace import Pace
from hanode.core.records import HostRecovery, Roster


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True)
class Note:
    """One line of the story: what was decided or seen, and why. Said once, when it becomes true."""

    level: Level
    event: str  # a short fixed word for counters and notifications, e.g. "verdict", "fenced", "brake"
    host: str
    text: str
    incident: str = ""
    instance_id: str = ""


class Verdict(StrEnum):
    HEALTHY = "HEALTHY"
    SUSPECT = "SUSPECT"
    FAILED = "FAILED"
    AGENT_DOWN = "AGENT_DOWN"
    PARTITIONED = "PARTITIONED"
    HELD = "HELD"
    UNKNOWN = "UNKNOWN"
    EXEMPT = "EXEMPT"


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Sign:
    """One signal of a host as it was weighed, for people."""

    name: str
    seen_by: str  # a witness; "" is this leader
    said: str
    age_s: float | None  # None: it never said anything
    times: int  # in a row
    counts_for: str


class HoldKind(StrEnum):
    """What a hold does to a host that falls silent under it."""

    DELAY = "delay"  # nothing: it only has to wait
    CONTROL_PLANE = "control-plane"  # HELD; positive proof of death frees it
    DOUBT = "doubt"  # HELD; positive proof of death frees it, and so does an operator who names it
    STORM = "storm"  # HELD until seen up or named by an operator
    OPERATOR = "operator"  # HELD as by a storm; and while it lasts, naming a host does not free it either


PROOF_FREES = (HoldKind.CONTROL_PLANE, HoldKind.DOUBT)
NAMING_FREES = (HoldKind.DOUBT, HoldKind.STORM)


@dataclass(frozen=True)
class Hold:
    name: str
    kind: HoldKind
    reason: str
    ends: str  # what ends it
    hosts: frozenset[str] | None = None  # whom it protects; None: every host
    fences: bool = True  # no power-off while it holds
    posts: bool = False  # no new evacuation either
    waiting: frozenset[str] = frozenset()  # hosts from which nothing is posted, whoever names them: the place for it is sick

    def covers(self, host: str) -> bool:
        return self.hosts is None or host in self.hosts

    def speaks_to(self, host: str, named: bool) -> bool:
        """Named: by an operator, who knows more of this one host than we do of all of them."""
        return self.covers(host) and not (named and self.kind in NAMING_FREES)


@dataclass(frozen=True)
class Beat:
    """A host's heartbeat as this leader has watched it, on its own clock."""

    stamp: str  # Nova's updated_at, only ever compared for being different
    seen_s: float  # when the read that first showed this stamp came back
    moved: bool = False  # it moved under this leader: the host was certainly alive then
    written: tuple[object, ...] = ()  # what others than the host write into its row; a change of it explains one move
    recent: tuple[float, ...] = ()  # when the last three unexplained moves were seen
    intervals_s: tuple[float, ...] = ()  # between unexplained moves, the newest last
    looked_s: float | None = None  # start of the newest reading that showed its state


@dataclass(frozen=True)
class Trace:
    """Consecutive readings of one signal that all said the same."""

    value: str  # what they said; "unknown" when we could not look
    since_s: float  # start of the first of them
    last_s: float  # start of the newest
    count: int = 1
    level: int = 1  # of the power devices that say so

    def twice(self, gap_s: float) -> bool:
        """Said at least twice, the readings at least `gap_s` apart."""
        return self.count >= 2 and self.last_s - self.since_s >= gap_s


@dataclass(frozen=True)
class HostCheck:
    """What the power devices of a host said when they were last checked without need."""

    devices: tuple[DeviceCheck, ...]
    at_s: float  # start of the newest check
    told: bool = True  # that one said something; else `devices` is what an earlier one said

    @once
    def is_flawless(self) -> bool:
        """Whatever was met before: nothing is wrong with any device. At ten thousand hosts the others are few."""
        return all(d.power is not None and not (d.fault or d.warning) and (d.identity or d.configured) for d in self.devices)

    @once
    def is_well(self) -> bool:
        """Flawless, and the newest check said so."""
        return self.is_flawless and self.told

    @once
    def says_off(self) -> frozenset[int]:
        """The levels of which some device read off."""
        return frozenset(d.level for d in self.devices if d.power is Power.OFF)


@dataclass(frozen=True)
class Timers:
    """A leader's memory. Never persisted: each leader measures on its own clock, so a take-over only delays."""

    office_since_s: float
    beats: Mapping[str, Beat] = field(default_factory=dict)
    fleet_s: float | None = None  # start of the reading that is in `beats`
    power: Mapping[str, Trace] = field(default_factory=dict)  # `levels.power_key` -> the power devices of that level
    probe: Mapping[str, Trace] = field(default_factory=dict)  # `signals.probe_key` -> "answers" | "silent" | "unknown"
    access: Mapping[str, Trace] = field(default_factory=dict)  # `stores.store_key` -> may the host write in that store
    checks: Mapping[str, HostCheck] = field(default_factory=dict)  # host -> its power devices
    witnessed: Mapping[tuple[str, str], Trace] = field(default_factory=dict)  # (witness, `signals.probe_key` or NOVA) -> as above
    hand_over_after_s: float = float("inf")  # blind for so long, while a witness sees: leave office
    waits: Mapping[str, float] = field(default_factory=dict)  # name of a wait -> when it began
    said: Mapping[str, str] = field(default_factory=dict)  # subject -> the sentence last said of it
    pace: Pace = field(default_factory=Pace)  # how many evacuations Nova has shown that it can take at once
    capacity: tuple[Finding, ...] | None = None  # as it was when nothing was wrong last; None: not looked yet
    skip_images: frozenset[str] | None = None  # tagged as those of amphorae when that could be read last; None: not read yet
    cut_off: frozenset[str] = frozenset()  # hosts whose Neutron agent was dead when that could be read last
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)  # action id -> its newest outcome, while it matters


OBSERVED = "observed only: "
ABANDONED = "abandoned by "
"""How an outcome begins, where that tells more than the record."""


@dataclass(frozen=True)
class Readiness:
    """Whose fencing would fail, should the host fail now."""

    unprotected: Mapping[str, str] = field(default_factory=dict)  # host -> why; muted ones too
    unchecked: int = 0  # hosts whose devices this leader has not checked yet


@dataclass(frozen=True)
class Closed:
    """A record that ends: moved to the history in the same transaction that deletes it."""

    record: HostRecovery
    outcome: str


@dataclass(frozen=True)
class Decisions:
    """The answer of `decide`. Records are committed first; only then are the actions performed."""

    timers: Timers
    writes: tuple[HostRecovery, ...] = ()
    closes: tuple[Closed, ...] = ()
    forgets: tuple[str, ...] = ()  # hosts whose SUSPECT record ends without a trace
    roster: Roster | None = None
    answers: tuple[Answer, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    wants: tuple[Want, ...] = ()
    wake_s: float = 0.0  # the latest moment at which deciding again makes sense
    verdicts: Mapping[str, Judgement] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    readiness: Readiness = Readiness()
    waits_for: Mapping[str, str] = field(default_factory=dict)  # of each host that comes back and is not taken back yet
    overdue_cuts: frozenset[str] = frozenset()  # hosts whose store may soon forget that they are cut off
    signs: Mapping[str, tuple[Sign, ...]] = field(default_factory=dict)  # of each host that is neither HEALTHY nor EXEMPT
    hand_over: str = ""  # why this leader should leave its office to another
