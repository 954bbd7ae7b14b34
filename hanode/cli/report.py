"""`hanode report`: what did it do, or what would it have done, and what was that worth?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hanode.cli.base import Card
from hanode.cli.incident import add_target, begin, target_s
from hanode.cli.spans import span_s
from hanode.engine.period import period
from hanode.engine.review import reviews


class PeriodReport(Card):
    """Count the incidents of a period: rightly and wrongly fenced (in mode observe: would have), recovery times, seconds saved.

    "Saved" is the time from an instance running again elsewhere until its own host was back in service; in mode observe, how much
    longer it was off than a recovery takes here. Only what [journal] history keeps is counted.
    """

    example = "  hanode report --since 30d\n  hanode report --since 1w --target 2m -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--since", metavar="TIME", type=span_s, default=span_s("30d"), help="how far back: 12h, 30d (the default), 4w")
        add_target(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        desk = self.desk(parsed_args)
        aimed_s = target_s(desk, parsed_args)
        found = period(reviews(desk.ledger.read_history(), aimed_s, begin(parsed_args.since)), aimed_s)
        return tuple(found), tuple(found.values())
