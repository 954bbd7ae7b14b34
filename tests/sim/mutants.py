"""Who notices what? Plays every mutant through its scenarios and the fuzzer's seeds, and writes docs/mutants.md.

`python -m tests.sim.mutants --seeds 10`; each seed takes some seconds for each mutant.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from itertools import product
from pathlib import Path

from hanode.sim.fuzz import try_seed
from hanode.sim.scenario import run
from tests.sim import (
    mutants_of_accounts,
    mutants_of_evacuation,
    mutants_of_fencing,
    mutants_of_maintenance,
    mutants_of_office,
    mutants_of_placing,
    mutants_of_spares,
    mutants_of_storage,
    mutants_of_targets,
)
from tests.sim.mutants_base import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "noticed"]

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"
TABLE = ROOT / "docs" / "mutants.md"
ROOMS = (mutants_of_fencing, mutants_of_evacuation, mutants_of_office, mutants_of_accounts, mutants_of_maintenance, mutants_of_placing,
         mutants_of_spares, mutants_of_storage, mutants_of_targets)
"""Each has registered its own."""

HEAD = """# Mutants: do the checkers see?

The rules S1 to S8 and L1 of the [architecture](architecture.md) are judged in the simulator by `hanode/sim/invariants.py` and
`hanode/sim/knowledge.py`, and what is promised of placing by `hanode/sim/promises.py`, from what really happened. A checker that
cannot see would hold for ever; so each rule is broken on purpose, in hanode itself, and somebody must notice.
`tests/sim/test_mutants.py` plays each mutant in its scenario and asks for the checker by its name.
This page is written by `python -m tests.sim.mutants`.
"""


def noticed(mutant: Mutant, scenario: str) -> frozenset[str]:
    """The checkers that speak when hanode is this mutant and this scenario happens to it."""
    with mutant.applied():
        return frozenset(violation.invariant for violation in run(SCENARIOS / scenario).violations)


def noticed_by_seed(name: str, seed: int) -> frozenset[str]:
    """The same for a seed of the fuzzer; no name: hanode as it is."""
    with MUTANTS[name].applied() if name else nullcontext():
        return frozenset(failure.invariant for failure in try_seed(seed).failures)


def _noticed(name: str, scenario: str) -> frozenset[str]:
    return noticed(MUTANTS[name], scenario)


def page(seeds: Sequence[int], jobs: int) -> Iterator[str]:
    """The whole page, line by line."""
    played = [(mutant.name, scenario) for mutant in MUTANTS.values() for scenario in mutant.caught_in]
    tried = list(product(("", *MUTANTS), seeds))
    with ProcessPoolExecutor(jobs) as pool:
        by_scenario = dict(zip(played, pool.map(_noticed, *zip(*played, strict=True)), strict=True))
        by_seed = dict(zip(tried, pool.map(noticed_by_seed, *zip(*tried, strict=True)), strict=True)) if tried else {}
    yield from HEAD.splitlines()
    yield ""
    also = f"; each was also tried with {len(seeds)} seeds of the fuzzer" if seeds else ""
    yield f"{len(MUTANTS)} mutants{also}."
    columns = ("mutant", "what it does", "scenario: caught by", *(["seeds: caught by"] if seeds else []))
    for rule in sorted({mutant.by for mutant in MUTANTS.values()}):
        yield from ("", f"## {rule}", "", _row(columns), _row(["---"] * len(columns)))
        for mutant in (m for m in MUTANTS.values() if m.by == rule):
            scenarios = "; ".join(f"`{scenario}`: {', '.join(sorted(by_scenario[mutant.name, scenario]))}" for scenario in mutant.caught_in)
            new = [by_seed[mutant.name, seed] - by_seed["", seed] for seed in seeds]
            yield _row((mutant.name, mutant.does, scenarios, *([_of_seeds(new)] if seeds else [])))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _of_seeds(found: Sequence[frozenset[str]]) -> str:
    """How many seeds notice the mutant, and by which checkers."""
    counted = Counter(rule for rules in found for rule in rules)
    by = f" ({', '.join(f'{rule} {count}' for rule, count in sorted(counted.items()))})" if counted else ""
    return f"{sum(1 for rules in found if rules)} of {len(found)}{by}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds of the fuzzer to try with each mutant (default 10)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (default 2)")
    chosen = parser.parse_args()
    lines = list(page(range(chosen.seeds), chosen.jobs))
    TABLE.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
