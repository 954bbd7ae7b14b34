"""What happens when several daemons watch one simulated cloud? The production engine in virtual time, event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from hanode.core.decisions import Closed, Decisions, Note
from hanode.core.model import Action, Command, Outcome
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery
from hanode.engine.ledger import Book, Ledger
from hanode.engine.narrate import Narrator, line_of_action, line_of_note, line_of_outcome
from hanode.engine.office import Office
from hanode.engine.tick import Engine
from hanode.errors import HanodeError
from hanode.sim.asking import SimProbe, SimPrograms
from hanode.sim.evidence import Evidence, Tick
from hanode.sim.journal import MemoryJournal, Space
from hanode.sim.node import Crash, Latencies, PortCall, SimClock, SimNode
from hanode.sim.ports import Commit, OfficeLock, SimCloud, SimFencer, SimJournal, SimLeadership
from hanode.sim.world import World

TICK_GAP_S = 0.2
"""Two ticks of one node are at least so far apart, about as in the daemon when everybody is busy."""

RESTART_S = 5.0
"""So long after its death the service manager starts a daemon again."""


@dataclass
class Story:
    """Everything that was said and done, in order; what golden logs and checkers read."""

    world: World
    lines: list[str] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)

    def say(self, who: str, text: str) -> None:
        self.lines.append(f"{self.world.now_s:8.1f} {who:<6} {text}")


class StoryNarrator:
    """The log lines of one node, as in production."""

    def __init__(self, story: Story, node: str) -> None:
        self._story, self._node = story, node

    def note(self, note: Note) -> None:
        self._story.say(self._node, line_of_note(note))

    def action(self, action: Action) -> None:
        self._story.say(self._node, line_of_action(action))

    def outcome(self, outcome: Outcome) -> None:
        line = line_of_outcome(outcome)
        if line:
            self._story.say(self._node, line)

    def decided(self, decisions: Decisions, _records: Mapping[str, HostRecovery], _status: Mapping[str, Any]) -> None:
        # Without what nobody asks of it later: the half of a story's memory.
        self._story.ticks.append(Tick(self._story.world.now_s, self._node, replace(decisions, wants=(), signs={})))


@dataclass
class Daemon:
    """One simulated daemon: a machine that survives, and an engine that is built anew after each crash."""

    node: SimNode
    engine: Engine
    next_tick_s: float = 0.0
    last_tick_s: float = float("-inf")

    @property
    def due_s(self) -> float:
        """When it has something to do again: a tick, or a call that is answered by then."""
        answered_s = self.node.executor.next_due_s()
        return self.next_tick_s if answered_s is None else min(self.next_tick_s, answered_s)


class Simulation:
    def __init__(
        self,
        world: World,
        policy: Policy,
        nodes: Sequence[str] = ("n1", "n2", "n3"),
        latencies: Latencies | None = None,
        crash_at: Iterable[tuple[int, str]] = (),
        tick_gap_s: float = TICK_GAP_S,
    ) -> None:
        """`crash_at` is of the first node: the number of its port call, and "before" or "after" it."""
        self.world, self.policy = world, policy
        self.policies = [policy]  # that were ever in force
        self._tick_gap_s = tick_gap_s
        self.story = Story(world)
        self.space = Space(clock=lambda: world.now_s)
        self._lock = OfficeLock(policy.lease_ttl_s)
        self._without = frozenset(world.hosts) - policy.fenceable
        self._commands = 0
        self.daemons: dict[str, Daemon] = {}
        for index, name in enumerate(nodes):
            node = SimNode(world, name, skew_s=1000.0 * index, latencies=latencies, crash_at=crash_at if index == 0 else ())
            # The first has a head start, so that every story begins with the same leader.
            self.daemons[name] = Daemon(node, self._engine(node), next_tick_s=world.now_s + 0.01 * index)

    def _engine(self, node: SimNode) -> Engine:
        clock, cloud = SimClock(node), SimCloud(node)
        ledger = Ledger(SimJournal(node, MemoryJournal(self.space), self.story.commits), cloud.identity())
        office = Office(
            ledger,
            SimLeadership(node, self._lock),
            clock,
            node=node.name,
            ttl_s=self.policy.lease_ttl_s,
            margin_s=self.policy.lease_ttl_s / 5,
            owner_factory=lambda: f"{node.name}.{node.boots}.{len(self.story.commits)}",
        )
        narrator = self.narrator(node)
        engine = Engine(
            cloud,
            SimFencer(node, self._without),
            SimProbe(node),
            SimPrograms(node),
            ledger,
            office,
            clock,
            node.executor,
            self.policy,
            narrator,
            node.name,
        )
        engine.wake = lambda: self._wake(node.name)
        return engine

    def narrator(self, node: SimNode) -> Narrator:
        return StoryNarrator(self.story, node.name)

    def _wake(self, name: str) -> None:
        daemon = self.daemons[name]
        daemon.next_tick_s = min(daemon.next_tick_s, max(self.world.now_s, daemon.last_tick_s + self._tick_gap_s))

    # ------------------------------------------------------------------ time

    def run(self, until_s: float, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True when `done` became true before `until_s`."""
        in_turn = [self.daemons[name] for name in sorted(self.daemons)]
        while self.world.now_s < until_s:
            if done is not None and done():
                return True
            self.world.advance(min(until_s, self._next_s()))
            for daemon in in_turn:
                self._let_work(daemon)
        return done is not None and done()

    def _next_s(self) -> float:
        event_s = self.world.next_event_s()
        moments = [daemon.due_s for daemon in self.daemons.values() if daemon.node.works]
        return max(self.world.now_s, min(moments if event_s is None else [event_s, *moments]))

    def _let_work(self, daemon: Daemon) -> None:
        now_s = self.world.now_s
        if daemon.due_s > now_s or not daemon.node.works:
            return
        try:
            daemon.node.executor.run_due(now_s)
            if daemon.next_tick_s <= now_s and daemon.node.works:
                daemon.last_tick_s = now_s
                daemon.next_tick_s = now_s + 3600.0  # what wakes it during the tick comes sooner
                pause_s = daemon.engine.tick()
                daemon.next_tick_s = min(daemon.next_tick_s, now_s + max(pause_s, self._tick_gap_s))
        except Crash as crash:
            self.story.say(daemon.node.name, f"-- {crash}")
            self.kill(daemon.node.name)
        except HanodeError as defect:  # what no waiting can heal: it ends, and the service manager starts it again
            self.story.say(daemon.node.name, f"-- stands down: {defect}")
            daemon.engine.resign()
            self.kill(daemon.node.name)

    # ------------------------------------------------------------------ what happens to daemons

    def kill(self, name: str, restart_s: float = RESTART_S) -> None:
        daemon = self.daemons[name]
        daemon.node.crash()
        self.world.after(restart_s, lambda: self._restart(name), f"restart {name}")

    def _restart(self, name: str) -> None:
        daemon = self.daemons[name]
        if not daemon.node.running:
            daemon.node.restart()
            daemon.engine = self._engine(daemon.node)
            daemon.next_tick_s, daemon.last_tick_s = self.world.now_s, float("-inf")

    def leader(self) -> Daemon | None:
        return next((d for d in self.daemons.values() if d.node.works and d.engine.leads), None)

    def reload(self, policy: Policy) -> None:
        self.policy = policy
        self.policies.append(policy)
        for daemon in self.daemons.values():
            daemon.engine.reload(policy)

    # ------------------------------------------------------------------ operators and judges

    def command(self, verb: str, host: str, why: str = "as told", who: str = "operator", **more: Any) -> None:
        self._commands += 1
        command = Command(f"c{self._commands:03d}", verb, host, who, why, self.world.stamp(), 60.0, **more)
        self.story.say(who, f"{verb} {host or 'everything'} ({why})")
        self._ledger().submit_command(command)

    def _ledger(self) -> Ledger:
        return Ledger(MemoryJournal(self.space), SimCloud(next(iter(self.daemons.values())).node).identity())

    def book(self) -> Book:
        return self._ledger().load()

    def history(self) -> tuple[Closed, ...]:
        return self._ledger().read_history()

    def recoveries(self) -> tuple[HostRecovery, ...]:
        """Closed and open, in the order in which they were opened."""
        found = [closed.record for closed in self.history()] + list(self.book().records.hosts.values())
        return tuple(sorted(found, key=lambda record: (record.opened_at, record.host)))

    def forget(self) -> None:
        """What was said and done is let go of at once: it hangs in a circle, and finding it there costs as much as making it."""
        for daemon in self.daemons.values():
            daemon.node.trace.clear()
        self.story.ticks.clear()
        self.story.commits.clear()
        self.space.past.clear()

    def evidence(self, **more: object) -> Evidence:
        calls: list[PortCall] = [call for daemon in self.daemons.values() for call in daemon.node.trace]
        calls.sort(key=attrgetter("time_s", "node", "number"))
        return Evidence(self.world, self.policy, self.policies, calls, self.story.commits, self.story.ticks, **more)  # type: ignore[arg-type]
