"""What does a leader learn from this tick's facts about how long things have been so? Own clock only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hanode.core.decisions import Beat, HostCheck, Timers, Trace
from hanode.core.facts import Access, DeviceCheck, Fleet, Host, Power, Reading, Unknown
from hanode.core.model import Snapshot, WantKind
from hanode.core.pace import cells_of, learn
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery

KEPT_BEATS = 3
KEPT_INTERVALS = 32
WATCHING_S = 20.0
"""Two looks at Nova may be so far apart and still count as watching."""

CONSECUTIVE_S = 60.0
"""Readings further apart than this are not consecutive: an off of an earlier incident must not count in this one."""


def remember(timers: Timers, snapshot: Snapshot, hosts: Mapping[str, HostRecovery], policy: Policy, now_s: float) -> Timers:
    """The leader's memory after this tick's readings and outcomes; pure."""
    outcomes = {**timers.outcomes, **{o.action.action_id: o for o in snapshot.outcomes}}
    fleet = snapshot.readings.get((WantKind.FLEET, ""))
    news = fleet is not None and fleet.started_s != timers.fleet_s
    return replace(
        timers,
        pace=learn(timers.pace, hosts, snapshot.outcomes, policy, now_s, _cells(hosts, fleet, policy)),
        beats=_beats(timers.beats, fleet) if news else timers.beats,
        fleet_s=fleet.started_s if fleet is not None else None,
        power=_traces(timers.power, snapshot, WantKind.POWER),
        probe=_traces(timers.probe, snapshot, WantKind.PROBE),
        access=_traces(timers.access, snapshot, WantKind.ACCESS),
        checks=_checks(timers.checks, snapshot),
        # Who does not testify any more is forgotten at once.
        witnessed={key: _trace(timers.witnessed.get(key), reading) for key, reading in sorted(snapshot.witnessed.items())},
        outcomes=outcomes,
    )


def _checks(checks: Mapping[str, HostCheck], snapshot: Snapshot) -> Mapping[str, HostCheck]:
    found = dict(checks)
    for host, reading in _of_kind(snapshot, WantKind.CHECK):
        if host in found and reading.started_s <= found[host].at_s:
            continue
        if isinstance(reading.value, Unknown):
            former = found.get(host)
            found[host] = HostCheck(former.devices if former else (), reading.started_s, told=False)
        else:
            found[host] = HostCheck(cast("tuple[DeviceCheck, ...]", reading.value), reading.started_s)
    return found


def _cells(hosts: Mapping[str, HostRecovery], fleet: Reading[object] | None, policy: Policy) -> Mapping[str, str]:
    if fleet is None or not isinstance(fleet.value, Fleet):
        return {}
    return cells_of({name: fleet.value.hosts[name] for name in sorted(hosts) if name in fleet.value.hosts}, policy)


def _beats(beats: Mapping[str, Beat], reading: Reading[object] | None) -> Mapping[str, Beat]:
    if reading is None or isinstance(reading.value, Unknown):
        return beats
    fleet = cast(Fleet, reading.value)
    return {name: _beat(beats.get(name), host, reading) for name, host in sorted(fleet.hosts.items())}


def _beat(beat: Beat | None, host: Host, reading: Reading[object]) -> Beat:
    """Only a *change* of the stamp counts, because clocks of Nova and ours are never compared.

    `updated_at` also moves on our own writes (oslo.db TimestampMixin): each of those explains one move.
    """
    stamp, seen_s, looked_s = host.service.updated_at, reading.finished_s, reading.started_s
    service = host.service
    written = (service.status, service.disabled_reason, service.forced_down)
    if beat is None:
        return Beat(stamp, seen_s, looked_s=looked_s, written=written)
    if host.service.state is None or looked_s == beat.looked_s:
        return beat  # nothing was seen, or this reading is already in it
    # Time in which nobody could look is no silence: the host may have reported all the while.
    gap_s = looked_s - beat.looked_s if beat.looked_s is not None else 0.0
    since_s = beat.seen_s + (gap_s if gap_s > WATCHING_S else 0.0)
    if stamp == beat.stamp:
        # Not by `replace`, which takes ten times as long: this is most hosts in most readings.
        return Beat(stamp, since_s, beat.moved, beat.written, beat.recent, beat.intervals_s, looked_s)
    if beat.written != written:
        # A write, ours, a former leader's or an operator's, may have swallowed a heartbeat: while Nova calls the host up it
        # counts as one for its silence, which only delays, but never as a sign of life against a proof of death.
        up_s = seen_s if host.service.state == "up" else since_s
        return replace(beat, stamp=stamp, seen_s=up_s, written=written, looked_s=looked_s)
    # Only from one heartbeat to the next without anything in between; so an outage of ours is never taken for the host's rhythm.
    known = beat.recent and beat.recent[-1] == since_s
    intervals_s = (*beat.intervals_s, seen_s - since_s)[-KEPT_INTERVALS:] if known else beat.intervals_s
    recent = (*beat.recent, seen_s)[-KEPT_BEATS:]
    return Beat(stamp, seen_s, True, beat.written, recent, intervals_s, looked_s)


def _traces(traces: Mapping[str, Trace], snapshot: Snapshot, kind: WantKind) -> Mapping[str, Trace]:
    found = dict(traces)
    for host, reading in _of_kind(snapshot, kind):
        found[host] = _trace(found.get(host), reading)
    return found


def _of_kind(snapshot: Snapshot, wanted: WantKind) -> list[tuple[str, Reading[object]]]:
    """In the order of their keys."""
    return sorted(((key, reading) for (kind, key), reading in snapshot.readings.items() if kind is wanted), key=lambda found: found[0])


def _trace(trace: Trace | None, reading: Reading[object]) -> Trace:
    if trace is not None and reading.started_s <= trace.last_s:
        return trace  # this reading is already in it
    value = _said(reading.value)
    if trace is None or trace.value != value or reading.started_s - trace.last_s > CONSECUTIVE_S:
        return Trace(value, reading.started_s, reading.started_s)
    return replace(trace, last_s=reading.started_s, count=trace.count + 1)


def _said(value: object) -> str:
    if isinstance(value, Unknown):
        return "unknown"
    if isinstance(value, Power | Access):
        return value.value
    return "answers" if value else "silent"
