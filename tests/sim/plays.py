"""What does each story of `tests/scenarios` come to? Played once per run of the tests, for everybody who asks in any process."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from hanode.core.lifecycle import DrillState, FailbackState, HostState, InstanceState, SpareState, WorkState
from hanode.core.records import HostRecovery, Roster
from hanode.sim.evidence import Tick, Violation
from hanode.sim.scenario import run

ROOT = Path(__file__).parents[1] / "scenarios"
STORIES = tuple(sorted(path.name for path in ROOT.iterdir() if (path / "scenario").exists()))

State = TypeVar("State")

HostStep = tuple[HostState, HostState]
InstanceStep = tuple[InstanceState, InstanceState]
WorkStep = tuple[WorkState, WorkState]
DrillStep = tuple[DrillState, DrillState]
SpareStep = tuple[SpareState, SpareState]
FailbackStep = tuple[FailbackState, FailbackState]


@dataclass(frozen=True)
class Played:
    text: str
    violations: tuple[Violation, ...]
    host_steps: frozenset[HostStep]
    instance_steps: frozenset[InstanceStep]
    work_steps: frozenset[WorkStep]
    drill_steps: frozenset[DrillStep]
    spare_steps: frozenset[SpareStep]
    failback_steps: frozenset[FailbackStep]


shared: Path | None = None
"""Where the processes of one run of the tests find what another has played."""


@cache
def played(name: str) -> Played:
    kept = shared / name if shared else None
    if kept and kept.exists():
        found: Played = pickle.loads(kept.read_bytes())  # written below, by a process of this run
        return found
    played_now = _play(name)
    if kept:
        own = kept.with_suffix(f".{os.getpid()}")
        own.write_bytes(pickle.dumps(played_now))
        own.replace(kept)  # whole or not at all, whoever reads meanwhile
    return played_now


def _play(name: str) -> Played:
    result = run(ROOT / name)
    ticks = result.simulation.story.ticks
    told = Played(result.text, result.violations, frozenset(_host_steps(ticks)), frozenset(_instance_steps(ticks)),
                  frozenset(_work_steps(ticks)), frozenset(_drill_steps(ticks)), frozenset(_spare_steps(ticks)),
                  frozenset(_failback_steps(ticks)))
    result.simulation.forget()
    return told


def _written(tick: Tick) -> Iterator[HostRecovery]:
    yield from tick.decisions.writes
    yield from (closed.record for closed in tick.decisions.closes)


def _host_steps(ticks: Sequence[Tick]) -> Iterator[HostStep]:
    """An incident begins and ends WATCHED, when no record is kept."""
    now: dict[str, HostRecovery] = {}
    for tick in ticks:
        for record in tick.decisions.writes:
            former = now.get(record.host)
            same = former is not None and former.incident == record.incident
            yield (former.state if former is not None and same else HostState.WATCHED), record.state
            now[record.host] = record
        ended = {closed.record.host for closed in tick.decisions.closes} | set(tick.decisions.forgets)
        for host in sorted(ended - {record.host for record in tick.decisions.writes}):
            if host in now:
                yield now.pop(host).state, HostState.WATCHED


def _instance_steps(ticks: Sequence[Tick]) -> Iterator[InstanceStep]:
    now: dict[tuple[str, str], InstanceState] = {}
    for tick in ticks:
        for record in _written(tick):
            for instance_id, entry in record.instances.items():
                key = (record.incident, instance_id)
                if key in now:
                    yield now[key], entry.state
                now[key] = entry.state


def _roster_steps(ticks: Sequence[Tick], kept: Callable[[Roster], Iterable[tuple[str, State]]]) -> Iterator[tuple[State, State]]:
    """Of what the roster holds, by its name."""
    now: dict[str, State] = {}
    for tick in ticks:
        for name, state in kept(tick.decisions.roster) if tick.decisions.roster else ():
            if name in now:
                yield now[name], state
            now[name] = state


def _work_steps(ticks: Sequence[Tick]) -> Iterator[WorkStep]:
    return _roster_steps(ticks, lambda roster: [(work.work, work.state) for work in roster.maintenance.values()])


def _drill_steps(ticks: Sequence[Tick]) -> Iterator[DrillStep]:
    return _roster_steps(ticks, lambda roster: [(drill.drill, drill.state) for drill in roster.drills.values()])


def _spare_steps(ticks: Sequence[Tick]) -> Iterator[SpareStep]:
    return _roster_steps(ticks, lambda roster: [(spare.loan, spare.state) for spare in roster.spares.values()])


def _failback_steps(ticks: Sequence[Tick]) -> Iterator[FailbackStep]:
    return _roster_steps(ticks, lambda roster: [(back.failback, back.state) for back in roster.failbacks.values()])
