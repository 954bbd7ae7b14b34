"""`hanode brake`: why is nobody fenced, and what ends that?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hanode.cli.asking import Word
from hanode.cli.base import Table
from hanode.cli.host import fresh_or_said, known_host
from hanode.cli.status import read_report


class BrakeShow(Table):
    """List the holds that keep hanode from fencing anybody now; an empty list is the normal state."""

    example = "  hanode brake show"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        report = fresh_or_said(read_report(self.desk(parsed_args)))
        return ("name", "reason", "ends"), [(h.get("name"), h.get("reason"), h.get("ends")) for h in report.holds]


class BrakeRelease(Word):
    """Name a host that fell silent while the brake held: it really failed and is to be recovered.

    A hold never ends into a shooting: hosts that fell silent under it stay HELD until they are seen up again or named here.
    Each host is named by itself, after somebody looked at it.
    """

    example = "  hanode brake release compute7 --reason 'its rack lost power, the others only a switch'"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        known_host(self.led_report(desk), parsed_args.host)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "release-hold", parsed_args.host)
