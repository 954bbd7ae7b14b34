"""`hanode simulate`: what would hanode do if this happened? Tells the story of a scenario, or tries thousands; touches nothing outside."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from cliff.command import Command

from hanode.cli.base import MISUSED, OK, REFUSED, complain
from hanode.errors import ConfigError


class Simulate(Command):
    """Play a scenario in a simulated cloud and print its story, with an account at the end; or make scenarios by seeds.

    Exit code 0: every safety rule held and every server that can run runs. 1: one did not. 2: the scenario is wrong.
    """

    _epilog = (
        "Examples:\n  hanode simulate tests/scenarios/host-panics\n  hanode simulate my-rack.txt --policy fence_after_s=120\n"
        "  hanode simulate --seeds 1000 --jobs 4\n  hanode simulate --seeds 1 --seed-base 4711 --tell"
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("path", metavar="PATH", nargs="?", help="a scenario file, or a folder with a file named scenario")
        parser.add_argument("--policy", action="append", default=[], metavar="OPTION=VALUE",
                            help="over what the scenario says; may be given several times")
        seeds = parser.add_argument_group("instead of PATH, scenarios made by seeds")
        seeds.add_argument("--seeds", type=_at_least_one, metavar="N", help="so many; the same seed is always the same scenario")
        seeds.add_argument("--seed-base", type=int, default=0, metavar="K", help="the first seed (default 0)")
        seeds.add_argument("--jobs", type=_at_least_one, default=1, metavar="J", help="processes side by side (default 1)")
        seeds.add_argument("--minutes", type=float, metavar="M", help="begin no further seed after so long")
        seeds.add_argument("--shrink", action="store_true", help="show each failure by the fewest lines that still fail (takes a while)")
        seeds.add_argument("--tell", action="store_true", help="print scenario and story of each seed")
        seeds.add_argument("-f", "--format", choices=("text", "json"), default="text", help="json: one object on stdout, nothing else")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        by_seeds = parsed_args.seeds is not None or parsed_args.minutes is not None
        if by_seeds == (parsed_args.path is not None):
            return complain("give either PATH, or --seeds or --minutes", MISUSED)
        try:
            return self._sweep(parsed_args) if by_seeds else self._play(parsed_args)
        except ConfigError as error:
            return complain(error, MISUSED)

    def _play(self, parsed_args: argparse.Namespace) -> int:
        # Only here: no other command needs the simulator.
        scenario = importlib.import_module("hanode.sim.scenario")
        result = scenario.run(parsed_args.path, _options(parsed_args.policy))
        print(result.text, end="", file=self.app.stdout)
        return REFUSED if result.violations else OK

    def _sweep(self, parsed_args: argparse.Namespace) -> int:
        fuzz = importlib.import_module("hanode.sim.fuzz")
        if parsed_args.tell:
            return self._tell(fuzz, parsed_args)
        tally, began_s = fuzz.Tally(), time.monotonic()
        outcomes = fuzz.sweep(_seeds(parsed_args, began_s), parsed_args.jobs, parsed_args.shrink)
        try:
            for outcome in outcomes:
                tally.add(outcome)
                _progress(f"{tally.seeds} seeds, {tally.recoveries} recoveries, {len(tally.failures)} violations")
        except KeyboardInterrupt:
            pass  # what was found so far is worth as much
        finally:
            getattr(outcomes, "close", lambda: None)()
            _progress("", "\n")
        report = tally.report(time.monotonic() - began_s)
        print(json.dumps(report, indent=2) if parsed_args.format == "json" else _text(report), file=self.app.stdout)
        return REFUSED if report["violations"] else OK

    def _tell(self, fuzz: Any, parsed_args: argparse.Namespace) -> int:
        code = OK
        for seed in _seeds(parsed_args, time.monotonic()):
            code = max(code, self._tell_one(fuzz, seed))
        return code

    def _tell_one(self, fuzz: Any, seed: int) -> int:
        scenario = fuzz.compose(seed)
        result = importlib.import_module("hanode.sim.scenario").play(scenario.text, watch=fuzz.until_quiet)
        print(f"{scenario.text}\n{result.text}", file=self.app.stdout)
        return REFUSED if result.violations else OK


def _seeds(parsed_args: argparse.Namespace, began_s: float) -> Iterator[int]:
    first, many, minutes = parsed_args.seed_base, parsed_args.seeds, parsed_args.minutes
    seeds = itertools.count(first) if many is None else range(first, first + many)
    return itertools.takewhile(lambda _: minutes is None or time.monotonic() - began_s < 60 * minutes, seeds)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than one")
    return number


def _progress(text: str, end: str = "") -> None:
    """One line that is written over; only where a person looks at it."""
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end=end, file=sys.stderr, flush=True)


def _text(report: dict[str, Any]) -> str:
    told = [f"--- seed {v['seed']}: {v['invariant']}: {v['sentence']}\n{v['scenario']}" for v in report["violations"]]
    again = [f"hanode simulate --seeds 1 --seed-base {v['seed']} --tell" for v in report["violations"]]
    counts = [f"{name.replace('_', ' ')}: {report[name]}" for name in
              ("seeds", "virtual_hours", "recoveries", "acts", "fault_pairs_covered", "seeds_per_minute")]
    never = ", ".join(report["states_never_seen"]) or "none"
    end = f"violations: {len(told)}" if told else "every rule held in every seed"
    return "\n".join([*told, *dict.fromkeys(again), *counts, f"states never seen: {never}", end])


def _options(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--policy {pair}: write OPTION=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
