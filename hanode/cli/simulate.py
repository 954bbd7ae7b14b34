"""`hanode simulate`: what would hanode do if this happened? Tells the story of a scenario; touches nothing outside."""

from __future__ import annotations

import argparse
import importlib

from cliff.command import Command

from hanode.cli.base import MISUSED, OK, REFUSED, complain
from hanode.errors import ConfigError


class Simulate(Command):
    """Play a scenario in a simulated cloud and print its story, with an account at the end.

    Exit code 0: every safety rule held and every server that can run runs. 1: one did not. 2: the scenario is wrong.
    """

    _epilog = "Example:\n  hanode simulate tests/scenarios/host-panics\n  hanode simulate my-rack.txt --policy fence_after_s=120"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("path", metavar="PATH", help="a scenario file, or a folder with a file named scenario")
        parser.add_argument("--policy", action="append", default=[], metavar="OPTION=VALUE",
                            help="over what the scenario says; may be given several times")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        # Only here: no other command needs the simulator.
        scenario = importlib.import_module("hanode.sim.scenario")
        try:
            result = scenario.run(parsed_args.path, _options(parsed_args.policy))
        except ConfigError as error:
            return complain(error, MISUSED)
        print(result.text, end="", file=self.app.stdout)
        return REFUSED if result.violations else OK


def _options(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--policy {pair}: write OPTION=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
