"""`hanode brake`: why is nobody fenced, and what ends that?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hanode.cli.asking import NamedHost, Word
from hanode.cli.base import Table
from hanode.cli.host import fresh_or_said
from hanode.cli.spans import span_s
from hanode.cli.status import read_report


class BrakeShow(Table):
    """List the holds that keep hanode from fencing anybody now; an empty list is the normal state."""

    example = "  hanode brake show"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        report = fresh_or_said(read_report(self.desk(parsed_args)))
        return ("name", "reason", "ends"), [(h.get("name"), h.get("reason"), h.get("ends")) for h in report.holds]


class BrakeRelease(NamedHost):
    """Name a host that fell silent while the brake held: it really failed and is to be recovered.

    A hold never ends into a shooting: hosts that fell silent under it stay HELD until they are seen up again or named here.
    Each host is named by itself, after somebody looked at it.
    """

    example = "  hanode brake release compute7 --reason 'its rack lost power, the others only a switch'"
    verb = "release-hold"


class Pause(Word):
    """Fence nobody and begin no evacuation for some time: for work on the network, on Nova, on power.

    Evacuations that are under way go on. Hosts that fall silent meanwhile are HELD: the end of the pause shoots nobody; name
    those that really failed with `hanode brake release HOST`. Say it again to change the time; `hanode resume` ends it.
    """

    example = "  hanode pause --for 2h --reason 'core switch is replaced'"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--for", dest="for_s", metavar="TIME", type=duration_s, required=True, help="for so long: 90s, 30m, 2h or 1d")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        self.led_report(desk)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "pause", "", for_s=parsed_args.for_s)


class Resume(Word):
    """End a pause before its time."""

    example = "  hanode resume --reason 'the new switch forwards'"

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        self.led_report(desk)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "resume", "")


LONGEST_S = 7 * 86400


def duration_s(text: str) -> float:
    """A pause is to end by itself: whoever forgets it must not leave the cloud unprotected for ever."""
    seconds = span_s(text)
    if seconds > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is longer than 7d; for longer: mode = observe")
    return seconds
