"""`hanode explain`: why is, or was, this host or instance treated so?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hanode.cli.base import Table
from hanode.cli.host import fresh_or_said
from hanode.cli.status import read_report
from hanode.engine.explain import explain
from hanode.errors import Refused

COLUMNS = ("at", "about", "what", "option", "incident")


class Explain(Table):
    """Tell why something was, or was not, done for a host or an instance: past first, then now, with the option that decided.

    From the journal alone, so it knows of an instance only what incidents have left there: the open ones, and as many ended
    ones as [journal] history keeps.
    """

    example = "  hanode explain compute7\n  hanode explain web-1 -f yaml\n  hanode explain compute7 --endpoint http://controller1:9732"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="SERVER|HOST", help="a host, or an instance by its id or name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        desk, name = self.desk(parsed_args), parsed_args.name
        report = fresh_or_said(read_report(desk))
        lines = explain(name, report, desk.ledger.read_history())
        if not lines:
            raise Refused(f"the journal knows neither a host nor an instance {name}: no incident that it keeps has touched it. Where an "
                          f"instance runs says `openstack server show {name}`; then ask for that host")
        return COLUMNS, [tuple(getattr(line, column) for column in COLUMNS) for line in lines]
