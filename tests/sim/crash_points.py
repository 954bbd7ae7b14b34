"""What is left of a recovery when its leader dies, at any call that it makes? The story is forked wherever that can happen.

A crash inside a tick, between two calls, changes nothing outside; so before and after every port call are all the points
at which a process can die. Points between which nothing happened outside of the dying process, be it that it only read,
lead to the same story: it is played once for all of them.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hanode.sim.node import PortCall, SimNode
from hanode.sim.run import Simulation
from hanode.sim.scenario import play
from tests.sim.crash_plots import Plot

WORKERS = 2
READS = ("cloud.read", "fencer.read", "stores.read", "probe.", "journal.read")
SECOND_DEATH_WITHIN_S = 40.0
LOOK_S, QUIET_S = 2.0, 6.0


@dataclass(frozen=True)
class End:
    """What must be the same however the leader died. Where a server runs may differ, that it does may not."""

    servers: tuple[str, ...]
    hosts: tuple[str, ...]


def end_of(simulation: Simulation) -> End:
    """How it stands now; whether a rule was broken is not asked here."""
    world, records = simulation.world, simulation.book().records.hosts
    failed = sorted({recovery.host for recovery in simulation.recoveries()} | {"c1"})
    entries = {key: entry.state for recovery in simulation.recoveries() for key, entry in recovery.instances.items()}
    servers = tuple(
        f"{s.name}: runs on {len(world.hosts.running(s.instance_id))} hosts, {s.vm_state}/{s.task_state}, "
        f"{'locked' if s.locked else 'free'}, {'at home' if s.host in failed else 'elsewhere'}, {entries.get(s.instance_id)}"
        for s in world.servers.live()
    )
    hosts = [world.hosts[name] for name in failed]
    return End(servers, tuple(
        f"{host.name}: {'on' if host.powered else 'off'}, {'forced down, ' if host.forced_down else ''}{host.status}, "
        f"{records[host.name].state if host.name in records else 'no record'}"
        for host in hosts
    ))


@dataclass(frozen=True)
class Told:
    """One story: who died where in it, and how it ended if it was not as it should have."""

    deaths: tuple[str, ...]
    wrong: str


@dataclass(frozen=True)
class Toured:
    points: int  # at which somebody could die
    stories: tuple[Told, ...]  # one per death, or pair of deaths, that could make a difference

    def wrong(self) -> list[str]:
        return [f"{' and '.join(told.deaths)}: {told.wrong}" for told in self.stories if told.wrong]


def tour(plot: Plot, file: Path, strides: Sequence[int] = (1,)) -> Toured:
    """Play the plot once for every point at which somebody can die in it.

    `strides`: how many may die, one after the other, and each so-manieth point of each. `file` takes a line of every copy.
    """
    with plot.limits():
        return _Tour(plot, file, strides).all()


class _Tour:
    """One walk along a plot. In a copy of the process, made at a crossroads, it is the walk of a story with a death in it."""

    def __init__(self, plot: Plot, file: Path, strides: Sequence[int]) -> None:
        self._plot, self._file, self._strides = plot, file, strides
        clean = play(plot.text)
        self._end = end_of(clean.simulation)
        assert clean.violations == (), f"even when nobody dies: {clean.violations}"
        self._simulation: Simulation = clean.simulation
        self._deaths: list[str] = []
        self._from_s, self._to_s = plot.from_s, plot.to_s
        self._points = 0
        self._forks = 0
        self._seen: object = None
        self._changes: dict[str, tuple[int, int]] = {}  # by node: how much of its trace was counted, and its changes in it
        self._copies: set[int] = set()
        self._look_s = self._quiet_since_s = 0.0

    def all(self) -> Toured:
        """In a copy it does not return."""
        self._file.touch()
        try:
            wrong = self._story()
        except BaseException:
            if self._deaths:
                self._tell(traceback.format_exc())
            for copy in self._copies:
                os.kill(copy, signal.SIGKILL)
            raise
        if self._deaths:
            self._tell(wrong)
        self._join(0)
        stories = (json.loads(line) for line in self._file.read_text(encoding="utf-8").splitlines())
        return Toured(self._points, tuple(Told(tuple(story["deaths"]), story["wrong"]) for story in stories))

    def _story(self) -> str:
        result = play(self._plot.text, watch=self._watch)
        end = end_of(result.simulation)
        broken = "; ".join(map(str, result.violations))
        return broken or ("" if end == self._end else f"{end} instead of {self._end}")

    def _tell(self, wrong: str) -> NoReturn:
        """The end of a copy: nothing of the process it was copied from may run in it, not even its `finally`."""
        line = json.dumps({"deaths": self._deaths, "wrong": wrong}) + "\n"
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line)
        os._exit(0)

    # ------------------------------------------------------------------ on the way

    def _watch(self, simulation: Simulation) -> Callable[[], bool]:
        self._simulation = simulation
        for daemon in simulation.daemons.values():
            daemon.node.crash_at = _Crossroads(self, daemon.node)
        return self._is_over

    def _is_over(self) -> bool:
        """Once the end has been the right one for a while: nothing is in flight then that could change it."""
        now_s = self._simulation.world.now_s
        if not self._deaths:
            return now_s > self._to_s
        if now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            if end_of(self._simulation) != self._end:
                self._quiet_since_s = now_s
        return now_s - self._quiet_since_s > QUIET_S

    def dies(self, node: SimNode) -> bool:
        """Does this node die here, in this copy of the process?"""
        now_s, depth = node.world.now_s, len(self._deaths)
        if depth == len(self._strides) or not self._from_s <= now_s <= self._to_s or (not depth and node.name != self._plot.dies):
            return False
        self._points += 1
        outside = self._outside(node)
        if outside == self._seen:
            return False
        self._seen = outside
        self._forks += 1
        if self._forks % self._strides[depth] or not self._copied():
            return False
        self._deaths.append(f"{node.name} at {now_s:.1f} s, call {len(node.trace)}")
        self._from_s, self._to_s = now_s, now_s + SECOND_DEATH_WITHIN_S
        self._quiet_since_s = now_s
        self._seen, self._forks = None, 0
        return True

    def _outside(self, node: SimNode) -> object:
        """What tells two moments apart for everybody but this node, whose memory dies with it."""
        others = [len(d.node.trace) for name, d in self._simulation.daemons.items() if name != node.name]
        counted, changes = self._changes.get(node.name, (0, 0))
        changes += sum(1 for call in node.trace[counted:] if _changes_something(call))
        self._changes[node.name] = len(node.trace), changes
        return node.name, node.world.now_s, changes, others

    def _copied(self) -> bool:
        """True in the copy. Within a copy its own copies run one by one, so that there are never more than WORKERS."""
        self._join(0 if self._deaths else WORKERS - 1)
        copy = os.fork()
        if copy:
            self._copies.add(copy)
            self._join(0 if self._deaths else WORKERS - 1)
            return False
        self._copies = set()
        gc.disable()  # it would touch, and so really copy, every page of the process that this is a copy of
        return True

    def _join(self, left: int) -> None:
        while len(self._copies) > left:
            copy, _ = os.wait()
            self._copies.discard(copy)


def _changes_something(call: PortCall) -> bool:
    return not call.name.startswith(READS)


class _Crossroads(set[tuple[int, str]]):
    """What a node takes for the points at which it has to die."""

    def __init__(self, on: _Tour, node: SimNode) -> None:
        super().__init__()
        self._tour, self._node = on, node

    def __contains__(self, point: object) -> bool:
        return self._tour.dies(self._node)

