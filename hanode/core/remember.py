"""What does a leader learn from this tick's facts about how long things have been so? Own clock only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hanode.core.decisions import Beat, Timers, Trace
from hanode.core.model import Fleet, Host, Power, Reading, Snapshot, Unknown, WantKind

KEPT_BEATS = 3
CONSECUTIVE_S = 60.0
"""Readings further apart than this are not consecutive: an off of an earlier incident must not count in this one."""


def remember(timers: Timers, snapshot: Snapshot) -> Timers:
    """The leader's memory after this tick's readings and outcomes; pure."""
    outcomes = {**timers.outcomes, **{o.action.action_id: o for o in snapshot.outcomes}}
    return replace(
        timers,
        beats=_beats(timers.beats, snapshot.readings.get((WantKind.FLEET, ""))),
        power=_traces(timers.power, snapshot, WantKind.POWER),
        probe=_traces(timers.probe, snapshot, WantKind.PROBE),
        outcomes=outcomes,
    )


def _beats(beats: Mapping[str, Beat], reading: Reading[object] | None) -> Mapping[str, Beat]:
    if reading is None or isinstance(reading.value, Unknown):
        return beats
    fleet = cast(Fleet, reading.value)
    return {name: _beat(beats.get(name), host, reading.finished_s) for name, host in sorted(fleet.hosts.items())}


def _beat(beat: Beat | None, host: Host, seen_s: float) -> Beat:
    """Only a *change* of the stamp counts, because clocks of Nova and ours are never compared.

    `updated_at` also moves on our own writes (oslo.db TimestampMixin): each of those explains one move.
    """
    stamp = host.service.updated_at
    if beat is None:
        return Beat(stamp, seen_s)
    if stamp == beat.stamp or host.service.state is None:
        return beat
    if beat.credit:
        return replace(beat, stamp=stamp, credit=beat.credit - 1)
    return Beat(stamp, seen_s, moved=True, recent=(*beat.recent, seen_s)[-KEPT_BEATS:])


def _traces(traces: Mapping[str, Trace], snapshot: Snapshot, kind: WantKind) -> Mapping[str, Trace]:
    found = dict(traces)
    for (found_kind, host), reading in sorted(snapshot.readings.items()):
        if found_kind is kind:
            found[host] = _trace(found.get(host), reading)
    return found


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
    if isinstance(value, Power):
        return value.value
    return "answers" if value else "silent"
