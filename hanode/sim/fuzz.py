"""Which mixture of faults breaks a rule? A seed makes a scenario, the scenario is played and judged, and the seeds are counted.

The scenario is an ordinary text: what fails is shown as one, and can be played, shrunk and kept under tests/scenarios.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import combinations, islice
from random import Random
from typing import Any

from hanode.core.decisions import Verdict
from hanode.core.lifecycle import HostState, InstanceState
from hanode.sim.evidence import Tick
from hanode.sim.fuzz_faults import FAILURES, FAULTS
from hanode.sim.fuzz_plan import MEND_S, UNTIL_S, Lines, draw
from hanode.sim.fuzz_shrink import crash_of, fails_alike, shrink
from hanode.sim.fuzz_stores import stores
from hanode.sim.invariants import digest
from hanode.sim.mending import is_quiet
from hanode.sim.run import Simulation
from hanode.sim.scenario import Result, play, without_collector

FEWEST, MOST = 5, 10
"""So many faults beside the first failure."""

EVERY_STATE = (
    *(f"host {state}" for state in HostState if state is not HostState.WATCHED),
    *(f"instance {state}" for state in InstanceState),
    *(f"verdict {verdict}" for verdict in Verdict),
    *(f"hold {name}" for name in ("FIRST_READ", "OFFICE", "NOVA_UNREADABLE", "CELL_UNKNOWN", "CONTROL_SILENT", "STALE_TOGETHER",
                                  "TOO_MANY")),
)  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    seed: int
    text: str
    faults: tuple[str, ...]  # kinds, in the order of the table


@dataclass(frozen=True)
class Failure:
    """A rule that a seed broke: the first time that it did, with everything that leads to it."""

    seed: int
    invariant: str
    sentence: str
    scenario: str
    story: str


@dataclass(frozen=True)
class Outcome:
    """What one seed showed."""

    scenario: Scenario
    failures: tuple[Failure, ...] = ()
    states: frozenset[str] = frozenset()
    recoveries: int = 0
    acts: int = 0
    virtual_s: float = 0.0
    digest: str = ""


# --------------------------------------------------------------------------- a seed


def compose(seed: int) -> Scenario:
    """The scenario of this seed: first everything that goes wrong, then everything is mended and hanode has to finish."""
    rng = Random(seed)
    plan = draw(rng)
    kinds = [rng.choice(list(FAILURES)), *rng.sample(list(FAULTS), rng.randint(FEWEST, MOST))]
    chosen: dict[str, Lines] = {}
    for kind in kinds:
        chosen.setdefault(kind, []).extend(FAULTS[kind](rng, plan))
    store, chosen["store"] = stores(seed, plan)
    events = sorted((time_s, f"{time_s:g} {what}  # {kind}") for kind, lines in chosen.items() for time_s, what in lines)
    text = [
        f"seed {seed}", "persons-err", *plan.setup, *store, *plan.excuses(), *(line for _, line in events),
        f"{MEND_S:g} mend-all", f"{MEND_S + 60:g} tend every=60", f"until {UNTIL_S:g}",
    ]  # fmt: skip
    return Scenario(seed, "".join(f"{line}\n" for line in text), tuple(kind for kind in FAULTS if chosen.get(kind)))


def until_quiet(simulation: Simulation) -> Callable[[], bool]:
    """A seed is over when everybody has done what there was to do."""
    return lambda: simulation.world.now_s > MEND_S + 60 and is_quiet(simulation)


def try_seed(seed: int, smallest: bool = False) -> Outcome:
    """Play it and judge it; `smallest`: show each failure by the fewest lines that still fail so."""
    with without_collector():
        outcome = _try(compose(seed))
    return replace(outcome, failures=tuple(map(_made_small, outcome.failures))) if smallest else outcome


def _try(scenario: Scenario) -> Outcome:
    try:
        result = play(scenario.text, watch=until_quiet)
    except Exception as error:  # noqa: BLE001 - a crash of hanode is a finding like any other
        rule, sentence = crash_of(error)
        return Outcome(scenario, (Failure(scenario.seed, rule, sentence, scenario.text, ""),))
    first = {violation.invariant: violation for violation in reversed(result.violations)}
    failures = (Failure(scenario.seed, v.invariant, v.text, scenario.text, result.text) for _, v in sorted(first.items()))
    outcome = Outcome(
        scenario, tuple(failures), _states(result.simulation.story.ticks), len(result.simulation.recoveries()),
        sum(len(tick.decisions.actions) for tick in result.simulation.story.ticks), result.world.now_s, _digest(result),
    )  # fmt: skip
    result.simulation.forget()
    return outcome


def _made_small(failure: Failure) -> Failure:
    text = shrink(failure.scenario, fails_alike(failure.invariant, failure.sentence, until_quiet))
    return replace(failure, scenario=text, story=play(text).text if failure.story else "")


def _states(ticks: Iterable[Tick]) -> frozenset[str]:
    """Every state, verdict and hold that some tick decided."""
    found: set[str] = set()
    for tick in ticks:
        decisions = tick.decisions
        for record in decisions.writes:
            found.add(f"host {record.state}")
            found.update(f"instance {entry.state}" for entry in record.instances.values())
        found.update(f"verdict {judgement.verdict}" for judgement in decisions.verdicts.values())
        found.update(f"hold {hold.name}" for hold in decisions.holds)
    return frozenset(found)


def _digest(result: Result) -> str:
    return hashlib.sha256(f"{result.text}{digest(result.world.log)}".encode()).hexdigest()


# --------------------------------------------------------------------------- many seeds


@dataclass
class Tally:
    """What all seeds so far have shown."""

    seeds: int = 0
    virtual_s: float = 0.0
    recoveries: int = 0
    acts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.virtual_s += outcome.virtual_s
        self.recoveries += outcome.recoveries
        self.acts += outcome.acts
        self.faults.update(outcome.scenario.faults)
        self.pairs.update(combinations(outcome.scenario.faults, 2))
        self.states.update(outcome.states)
        self.failures.extend(outcome.failures)

    def report(self, elapsed_s: float) -> dict[str, Any]:
        """The object that `hanode simulate --seeds N -f json` prints."""
        failures = sorted(self.failures, key=lambda failure: (failure.seed, failure.invariant))
        return {
            "seeds": self.seeds,
            "virtual_hours": round(self.virtual_s / 3600, 1),
            "recoveries": self.recoveries,
            "acts": self.acts,
            "states_covered": {state: self.states[state] for state in EVERY_STATE},
            "states_never_seen": [state for state in EVERY_STATE if not self.states[state]],
            "fault_pairs_covered": round(len(self.pairs) / (len(FAULTS) * (len(FAULTS) - 1) / 2), 3),
            "violations": [
                asdict(failure) for failure in failures
            ],
            "faults": {kind: self.faults[kind] for kind in FAULTS},
            "seeds_per_minute": round(60 * self.seeds / elapsed_s, 1) if elapsed_s else 0.0,
        }


def sweep(seeds: Iterable[int], jobs: int = 1, smallest: bool = False) -> Iterator[Outcome]:
    """Each seed's outcome as soon as it is there; ends its processes when it is closed."""
    one = partial(try_seed, smallest=smallest)
    return map(one, seeds) if jobs == 1 else _side_by_side(one, iter(seeds), jobs)


def _side_by_side(one: Callable[[int], Outcome], seeds: Iterator[int], jobs: int) -> Iterator[Outcome]:
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_leave_interrupts_to_the_parent)
    # Only so many are asked for ahead: seeds may be endless, and an end must not wait for all of them.
    running: set[Future[Outcome]] = {pool.submit(one, seed) for seed in islice(seeds, 2 * jobs)}
    try:
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(one, seed) for seed in islice(seeds, len(ended))}
            for future in ended:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
