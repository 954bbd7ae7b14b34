"""What happened in an incident, how long did each part take, and who was down from when to when? From its record alone.

Stamps are those of the leaders and of Nova, which run NTP: figures for people, by which nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil

from hanode.core.decisions import ABANDONED, OBSERVED, Closed
from hanode.core.lifecycle import HOST_SENTENCES, INSTANCE_SENTENCES, LOST, SAFE
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.restore import ran
from hanode.engine.age import time_of

PERCENTILES = (50, 90, 99)


class Kind(StrEnum):
    """What an incident came to, for counting."""

    WOULD_RIGHT = "would have fenced: right"
    WOULD_WRONG = "would have fenced: wrong"
    WOULD_UNCLEAR = "would have fenced: not known"
    FENCED = "fenced: right"
    WRONG = "fenced: wrong"
    ABANDONED = "given up by a person"
    FALSE_ALARM = "false alarm: nothing was done"
    REBOOTED = "rebooted by itself"
    OPEN = "not over yet"


@dataclass(frozen=True)
class Down:
    """One instance that ran when its host failed."""

    project_id: str
    instance_id: str
    name: str
    state: str
    target: str
    reason: str
    down_from: str
    down_until: str  # "" while it is down, or when nobody knows
    down_s: float | None


@dataclass(frozen=True)
class Spread:
    """How long something took, over all who went through it."""

    count: int
    p50_s: float
    p90_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class Review:
    incident: str
    host: str
    kind: Kind
    outcome: str
    cause: str
    proof: str
    observe_only: bool
    opened_at: str
    fenced_at: str
    ended_at: str
    power_offs: int
    timeline: tuple[tuple[str, str], ...]  # when, what
    phases: Mapping[str, Spread]
    target_s: float
    within_target: int
    recovered: int
    lost: int
    instances: tuple[Down, ...]

    def fields(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)


def review(record: HostRecovery, target_s: float, outcome: str = "") -> Review:
    """`outcome`: of an incident that ended; "" while it is open. `target_s`: the recovery time that is aimed at."""
    downs = tuple(_down(record, entry, outcome) for _, entry in sorted(record.instances.items()) if ran(entry))
    durations = [down.down_s for down in downs if down.down_s is not None and down.state in SAFE]
    return Review(
        incident=record.incident, host=record.host, kind=kind_of(record, outcome),
        outcome=outcome or f"{record.state}: {HOST_SENTENCES[record.state]}", cause=record.cause,
        proof=f"{record.proof.kind}: {record.proof.text}" if record.proof else "", observe_only=record.observe_only,
        opened_at=record.opened_at, fenced_at=record.fenced_at, ended_at=record.ended_at, power_offs=record.fence_attempt,
        timeline=tuple(_timeline(record, outcome)), phases=_phases(record, durations), target_s=target_s,
        within_target=sum(one <= target_s for one in durations), recovered=len(durations),
        lost=sum(down.state in LOST for down in downs), instances=downs)


def reviews(ended: Sequence[Closed], target_s: float, since: datetime | None = None) -> list[Review]:
    """Of all that began at or after `since`; what has no readable beginning is kept, because it may have."""
    found = [review(closed.record, target_s, closed.outcome) for closed in ended]
    return [one for one in found if since is None or (begun := _time(one.opened_at)) is None or begun >= since]


def kind_of(record: HostRecovery, outcome: str) -> Kind:
    """What it came to; `outcome` is "" while it is open."""
    if not outcome:
        return Kind.OPEN
    if record.observe_only:
        if not outcome.startswith(OBSERVED):
            return Kind.WOULD_UNCLEAR
        return Kind.WOULD_RIGHT if record.proof else Kind.WOULD_WRONG
    if record.fenced_at:
        return Kind.FENCED
    if outcome.startswith(ABANDONED):
        return Kind.ABANDONED
    if not record.cause:
        return Kind.REBOOTED
    return Kind.WRONG if record.off_may_have_reached else Kind.FALSE_ALARM


def spread(durations_s: Sequence[float]) -> Spread | None:
    """Nearest rank: each figure is one that was really measured."""
    if not durations_s:
        return None
    ordered = sorted(durations_s)
    p50_s, p90_s, p99_s = (ordered[ceil(len(ordered) * share / 100) - 1] for share in PERCENTILES)
    return Spread(len(ordered), p50_s, p90_s, p99_s, ordered[-1])


def seconds_between(begin: str, end: str) -> float | None:
    """None when a stamp is missing or cannot be read."""
    began, ended = _time(begin), _time(end)
    return None if began is None or ended is None else max(0.0, (ended - began).total_seconds())


def _time(stamp: str) -> datetime | None:
    try:
        return time_of(stamp)
    except ValueError:
        return None


def _down(record: HostRecovery, entry: InstanceRecovery, outcome: str) -> Down:
    since = record.last_beat_at if _time(record.last_beat_at) else record.opened_at
    # Of one that was left alone nobody knows when it ran again; one that was only watched came back with its host, at the earliest.
    until = entry.ended_at if entry.state in SAFE else record.ended_at if record.observe_only else ""
    if kind_of(record, outcome) in {Kind.WOULD_WRONG, Kind.FALSE_ALARM}:
        since, until = "", ""  # its host never failed
    return Down(entry.project_id, entry.instance_id, entry.name, str(entry.state), entry.target,
                entry.reason or INSTANCE_SENTENCES[entry.state], since, until, seconds_between(since, until))


def _phases(record: HostRecovery, downtimes_s: Sequence[float]) -> Mapping[str, Spread]:
    entries = record.instances.values()
    measured: dict[str, list[float | None]] = {
        "silent until suspected": [seconds_between(record.last_beat_at, record.opened_at)],
        "suspected until proven dead": [seconds_between(record.opened_at, record.fenced_at)],
        "proven dead until asked of Nova": [seconds_between(record.fenced_at, e.requested_at) for e in entries if e.requested_at],
        "asked of Nova until it runs again": [seconds_between(e.requested_at, e.ended_at) for e in entries if e.state in SAFE],
        "down in all": list(downtimes_s),
    }
    spreads = {name: spread([s for s in values if s is not None]) for name, values in measured.items()}
    return {name: found for name, found in spreads.items() if found is not None}


def _timeline(record: HostRecovery, outcome: str) -> Iterator[tuple[str, str]]:
    steps = [(record.last_beat_at, "last heartbeat that Nova saw"),
             (record.opened_at, f"suspected: {record.cause or 'its service fell silent'}")]
    if record.proof:
        steps.append((record.proof.at, f"proven dead by its {record.proof.kind}: {record.proof.text}"))
    steps.append((record.fenced_at, "evacuation allowed"))
    steps += _milestones(sorted(e.requested_at for e in record.instances.values() if e.requested_at), "asked of Nova")
    steps += _milestones(sorted(e.ended_at for e in record.instances.values() if e.state in SAFE and e.ended_at), "running again")
    steps += [(e.ended_at, f"{e.name} ({e.instance_id}) {e.state}: {e.reason}") for e in record.instances.values() if e.state in LOST]
    steps.append((record.ended_at, f"over: {outcome}"))
    known = [(found, stamp, what) for stamp, what in steps if (found := _time(stamp)) is not None]
    yield from ((stamp, what) for _, stamp, what in sorted(known, key=lambda step: step[0]))


def _milestones(stamps: Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    """The first, the middle and the last of many."""
    for rank in sorted({1, ceil(len(stamps) / 2), len(stamps)} if stamps else ()):
        yield stamps[rank - 1], f"{rank} of {len(stamps)} instances {what}"
