"""How long did each part of a recovery take, as this leader saw it? Durations only, for statistics; nothing is decided by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hanode.core.decisions import Beat
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Moment
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.restore import ran
from hanode.engine.age import time_of

Lasted = tuple[str, float]
"""A phase by its name in the metrics, and its seconds."""

HOST_STAGE: Mapping[HostState, str] = {HostState.SUSPECT: "detect", HostState.FENCING: "fence", HostState.FENCED: "fenced"}
INSTANCE_STAGE: Mapping[InstanceState, str] = {
    InstanceState.PENDING: "place",
    InstanceState.WAITING: "place",
    InstanceState.REQUESTED: "evacuate",
    InstanceState.UNDERWAY: "evacuate",
    InstanceState.MOVED: "verify",
    InstanceState.VERIFIED: "runs",
    InstanceState.RETURNED: "runs",
}
NEXT: Mapping[str, frozenset[str]] = {
    "detect": frozenset({"fence"}),
    "fence": frozenset({"fenced"}),
    "place": frozenset({"evacuate"}),
    "evacuate": frozenset({"verify", "runs"}),  # there may be nothing left to put back
    "verify": frozenset({"runs"}),
}
"""Only this way a phase has ended well; one that fell back is not counted."""

PLACING = frozenset({HostState.EVACUATING, HostState.RELEASING})


@dataclass(frozen=True)
class _Stage:
    name: str
    began_s: float | None  # None: it began under another leader, or before we could tell


class Phases:
    """One per taking of office: what began under another leader is not counted, except the downtime, which rests on stamps."""

    def __init__(self) -> None:
        self._stages: Mapping[tuple[str, str], _Stage] | None = None

    def follow(self, records: Iterable[HostRecovery], beats: Mapping[str, Beat], now: Moment) -> list[Lasted]:
        """Which phases have ended since the last call; `records` are all, those that ended in this tick included."""
        stages: dict[tuple[str, str], _Stage] = {}
        lasted: list[Lasted] = []
        for record in records:
            key = (record.incident, "")
            silent_s = _silent_since(beats.get(record.host))
            was, stages[key] = self._turn(key, HOST_STAGE.get(record.state, ""), now.s, silent_s)
            lasted += _ended(was, stages[key], now.s)
            for instance_id, entry in record.instances.items():
                key = (record.incident, instance_id)
                was, stages[key] = self._turn(key, _stage_of(entry, record), now.s, now.s)
                lasted += [*_ended(was, stages[key], now.s), *_downtime(was, stages[key], entry, record, silent_s, now)]
        self._stages = stages
        return lasted

    def _turn(self, key: tuple[str, str], name: str, now_s: float, detect_s: float | None) -> tuple[_Stage, _Stage]:
        """The stage before and the stage now."""
        if self._stages is None:
            first = _Stage(name, None)
            return first, first
        # A host that is new to us fell silent before; proof of death may take it through SUSPECT within one tick.
        was = self._stages.get(key)
        if was is None:
            was = _Stage("detect", detect_s)
        elif was.name == name:
            return was, was
        return was, _Stage(name, detect_s if name == "detect" else now_s)


def _stage_of(entry: InstanceRecovery, record: HostRecovery) -> str:
    stage = INSTANCE_STAGE.get(entry.state, "")
    return "" if stage == "place" and record.state not in PLACING else stage


def _silent_since(beat: Beat | None) -> float | None:
    """When its last heartbeat was seen, if this leader has seen one at all."""
    return beat.seen_s if beat is not None and beat.moved else None


def _ended(was: _Stage, now: _Stage, now_s: float) -> Iterator[Lasted]:
    if was.began_s is not None and now.name in NEXT.get(was.name, ()):
        yield was.name, now_s - was.began_s
    if (was.name, now.name) == ("", "evacuate"):
        yield "place", 0.0  # in the very tick in which its host was ready


def _downtime(
    was: _Stage, now: _Stage, entry: InstanceRecovery, record: HostRecovery, silent_s: float | None, at: Moment
) -> Iterator[Lasted]:
    """From the last heartbeat that this leader saw, or from when whichever leader opened the incident, if it beats again or was
    not seen. Stamps of two controllers meet here, which run NTP; a figure is all that rests on it."""
    was_down = ran(entry) and (entry.ours or record.fenced_at)  # a host that was only slow to report lost nobody
    if now.name == "runs" != was.name and was_down:
        try:
            opened_s = at.s - (time_of(at.at) - time_of(record.opened_at)).total_seconds()
            yield "downtime", max(0.0, at.s - min(opened_s, opened_s if silent_s is None else silent_s))
        except ValueError:
            return  # a stamp that nobody can read gives no figure
