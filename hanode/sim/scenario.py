"""How does the text of an incident become a run of it? Reads a scenario, lets it happen, tells the story and gives an account.

One line, one thing; `#` begins a comment. First what there is (`hosts`, `servers`, `policy`, ...), then what happens
(`60 cut-mains c1`: at second 60), and `until`. The words are the tables of `hanode.sim.scenario_setup`
and `scenario_words`.
"""

from __future__ import annotations

import gc
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hanode.core.records import Records
from hanode.errors import ConfigError
from hanode.sim.evidence import Violation
from hanode.sim.invariants import Was, accounted, all_recovered, judge, remember
from hanode.sim.promises import by_itself, ends_on, in_order, started_in_order
from hanode.sim.run import Simulation
from hanode.sim.scenario_setup import SETUP
from hanode.sim.scenario_stage import Stage, Word, one_of
from hanode.sim.scenario_words import EVENTS
from hanode.sim.world import ComputeHost, Kernel, Server, World

UNSEEN_S = 10.0
"""Where people err, one of them may post in the moment between hanode's last look at Nova and its own request."""

FILE = "scenario"
"""The name of the text within a scenario's folder."""


@dataclass(frozen=True)
class Event:
    time_s: float
    text: str
    do: Callable[[], None]


@dataclass(frozen=True)
class Result:
    lines: tuple[str, ...]  # the story, then the account
    violations: tuple[Violation, ...]
    world: World
    simulation: Simulation

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


def run(path: Path | str, policy_override: Mapping[str, str] | None = None) -> Result:
    """A scenario file, or the folder of one; `policy_override`: options as in a `policy` line, over those of the file."""
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return play(text, policy_override)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


Watch = Callable[[Simulation], Callable[[], bool]]
"""Sees a simulation before anything has happened in it, and answers with what tells that the story may end now."""


def play(
    text: str, policy_override: Mapping[str, str] | None = None, crash_at: Iterable[tuple[int, str]] = (), watch: Watch | None = None,
) -> Result:
    """`crash_at` is of the first daemon, as `Simulation` wants it."""
    stage = Stage(policy_override)
    events = read(text, stage)
    if stage.until_s is None:
        raise ConfigError("does not say `until` when it lasts")
    simulation = stage.begin(crash_at)
    before = remember(stage.world)
    for event in events:
        stage.world.at(event.time_s, _happening(simulation, event), event.text)
    with without_collector():
        simulation.run(stage.until_s, watch(simulation) if watch else None)
    shown, violations = _judged(stage, before)
    return Result((*simulation.story.lines, *_account(stage, violations, shown)), violations, stage.world, simulation)


@contextmanager
def without_collector() -> Iterator[None]:
    """A run leaves few circles behind, and each search for them in its growing history costs a fifth of its time in all."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _happening(simulation: Simulation, event: Event) -> Callable[[], None]:
    def happen() -> None:
        if not event.text.startswith("operator"):  # whose line the simulation says itself
            simulation.story.say("world", event.text)
        event.do()
    return happen


# --------------------------------------------------------------------------- reading


def read(text: str, stage: Stage) -> list[Event]:
    """Set the stage and return what is to happen on it, in the order of the lines."""
    events = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
            if words:
                event = _line(words, stage)
                events += [event] if event else []
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"line {number} ({line.strip()}): {error}") from error
    return events


def _line(words: Sequence[str], stage: Stage) -> Event | None:
    time_s = _time(words[0])
    if time_s is None:
        _word(SETUP, "word of a scenario (or a time in seconds)", words).bind(stage, words[1:])()
        return None
    if len(words) < 2:
        raise ConfigError("says when, but not what happens")
    word = _word(EVENTS, "event", words[1:])
    return Event(time_s, shlex.join(words[1:]).replace("'", '"'), word.bind(stage, words[2:]))


def _word(table: Mapping[str, Word], what: str, words: Sequence[str]) -> Word:
    return table[one_of(table, words[0], what)]


def _time(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


# --------------------------------------------------------------------------- judging


def _judged(stage: Stage, before: Mapping[str, Was]) -> tuple[tuple[Violation, ...], tuple[Violation, ...]]:
    """What the story shows on purpose, and what must not be; a purpose that is not shown must not be either."""
    found = list(_violations(stage, before))
    shown = tuple(violation for violation in found if violation.invariant in stage.on_purpose)
    missing = sorted(stage.on_purpose.keys() - {violation.invariant for violation in shown})
    missed = [Violation("scenario", stage.world.now_s, f"is said to break {invariant}, and does not") for invariant in missing]
    return shown, (*(violation for violation in found if violation not in shown), *missed)


def _violations(stage: Stage, before: Mapping[str, Was]) -> Iterator[Violation]:
    """Every checker; servers that are `left-behind` must really be, and every other one must be as it was."""
    simulation, world, policy = stage.simulation, stage.world, stage.policy
    recoveries = simulation.recoveries()
    shot_alive = [h for a in world.nova.true_aggregates() if a.name in policy.fence_living_aggregates for h in sorted(a.hosts)]
    confirmed = _confirmed(simulation)
    answered_for = confirmed if stage.persons_err else frozenset()
    unseen_s = UNSEEN_S if stage.persons_err else 0.0
    yield from judge(
        simulation.evidence(confirmed=confirmed, answered_for=answered_for, may_be_fenced_alive=frozenset(shot_alive), unseen_s=unseen_s)
    )
    yield from accounted(world, before, recoveries)
    for names, runs_first, last_time in stage.in_order:
        yield from in_order(world, names, runs_first, last_time)
    for names in stage.started_in_order:
        yield from started_in_order(world, names)
    for name, host in stage.ends_on:
        yield from ends_on(world, name, host)
    for name in stage.alone:
        yield from by_itself(world, name)
    placeable = [instance_id for instance_id, was in before.items() if was.name not in {**stage.left_behind, **stage.excused}]
    yield from all_recovered(world, before, placeable, recoveries)
    for instance_id, was in sorted(before.items()):
        if was.name in stage.left_behind and not list(all_recovered(world, before, [instance_id], ())):
            yield Violation("scenario", world.now_s, f"{was.name} is called left-behind, and is as it was before")


def _confirmed(simulation: Simulation) -> frozenset[str]:
    """Hosts that a person said were dead, and was believed: what follows rests on that person."""
    # A leader may die right after it has written its answer, and the journal keeps only the newest: both are asked.
    told = (answer for tick in simulation.story.ticks for answer in tick.decisions.answers)
    answers = (*simulation.book().answers, *told)
    return frozenset(a.command.host for a in answers if a.accepted and a.command.verb == "confirm-fenced")


# --------------------------------------------------------------------------- the account


def _account(stage: Stage, violations: Sequence[Violation], shown: Sequence[Violation]) -> Iterator[str]:
    """Short, and from the world itself: what Nova says and what is really so."""
    world, simulation = stage.world, stage.simulation
    book = simulation.book()
    yield f"--- the account at {world.now_s:.0f} s"
    for host in world.hosts.all():
        yield f"host {host.name}: {_host(world, host)}; {_record(book.records, host.name)}"
    latest = {key: entry for recovery in simulation.recoveries() for key, entry in recovery.instances.items()}
    for server in sorted(world.servers.by_id.values(), key=lambda s: s.name):
        entry = latest.get(server.instance_id)
        why = f"; left behind: {stage.left_behind[server.name]}" if server.name in stage.left_behind else ""
        yield f"server {server.name}: {_server(world, server)}" + (f"; {entry.state}: {entry.reason}" if entry else "") + why
    for closed in simulation.history():
        yield f"incident {closed.record.incident}: {closed.outcome}"
    yield from (f"on purpose {violation}: {stage.on_purpose[violation.invariant]}" for violation in shown)
    yield from (f"VIOLATION {violation}" for violation in violations)
    besides = "besides that, " if shown else ""
    yield f"checkers: {len(violations)} violations" if violations else f"{besides}checkers: S1 to S8 and L1 hold"


def _host(world: World, host: ComputeHost) -> str:
    power = "off" if not host.powered else "lives" if host.kernel is Kernel.RUNNING else str(host.kernel)
    marks = ["up" if world.hosts.is_up(host.name) else "down", *(["forced down"] if host.forced_down else [])]
    if host.status != "enabled":
        marks.append(f"disabled ({host.disabled_reason})")
    return f"{power}; Nova: {', '.join(marks)}"


def _record(records: Records, name: str) -> str:
    record, roster = records.hosts.get(name), records.roster
    work = roster.maintenance.get(name)
    spare = roster.spares.get(name)
    if record is not None:
        return f"{record.state}: {record.reason}"
    if spare is not None:
        return f"spare {spare.state}"
    if work is not None:
        return f"maintenance {work.state}{f' ({work.reason})' if work.reason else ''}"
    if name in roster.drills:
        drill = roster.drills[name]
        return f"drill {drill.state}{f' ({drill.reason})' if drill.reason else ''}"
    if name in roster.failbacks:
        return f"failback {roster.failbacks[name].state}"
    return f"held ({roster.held[name]})" if name in roster.held else "no record"


def _server(world: World, server: Server) -> str:
    running = world.hosts.running(server.instance_id)
    really = f"runs on {' AND '.join(running)}" if running else "runs nowhere"
    task = f"/{server.task_state}" if server.task_state else ""
    locked = ", locked" if server.locked else ""
    return f"{really}; Nova: " + ("deleted" if server.deleted else f"{server.vm_state}{task} on {server.host}{locked}")
