"""`hanode incident watch`: how far is the recovery, from now until it ends?"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Mapping

from cliff.command import Command
from rich.console import Console
from rich.live import Live
from rich.table import Table as Grid

from hanode.cli.asking import find_record
from hanode.cli.base import OK, REFUSED, Desk, Far
from hanode.core.lifecycle import LOST
from hanode.core.records import HostRecovery
from hanode.engine.report import progress
from hanode.errors import Ambiguous, Unreachable

EVERY_S = 1.0


class IncidentWatch(Far, Command):
    """Watch open incidents until they end: a live table on a terminal, otherwise a line for each change.

    Exit code 0: ended (or none was open). 1: ended with instances that need you.
    """

    example = "  hanode incident watch\n  hanode incident watch compute7"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("incident", metavar="INCIDENT", nargs="?", default="", help="its id, or its host; all open ones without")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        watched = {find_record(desk, parsed_args.incident).incident} if parsed_args.incident else None
        seen: dict[str, HostRecovery] = {}
        show = self._show_live if self.app.stdout.isatty() else self._show_lines
        show(_looks(desk, watched, seen))
        return REFUSED if _lost(desk, seen) else OK

    def _show_lines(self, looks: Iterator[Mapping[str, str]]) -> None:
        told: Mapping[str, str] = {}
        for lines in looks:
            for name, line in lines.items():
                if told.get(name) != line:
                    print(f"{name}: {line}", file=self.app.stdout, flush=True)
            for name in told.keys() - lines.keys():
                print(f"{name}: ended", file=self.app.stdout, flush=True)
            told = lines
        print("no incident is open", file=self.app.stdout, flush=True)

    def _show_live(self, looks: Iterator[Mapping[str, str]]) -> None:
        with Live(console=Console(file=self.app.stdout), auto_refresh=False) as live:
            for lines in looks:
                grid = Grid("incident", "progress")
                for name, line in lines.items():
                    grid.add_row(name, line)
                live.update(grid, refresh=True)
        print("no incident is open", file=self.app.stdout)


def _looks(desk: Desk, watched: set[str] | None, seen: dict[str, HostRecovery]) -> Iterator[Mapping[str, str]]:
    """What is open, again and again until nothing is. A journal that does not answer for a moment is no end."""
    pause = threading.Event()
    while True:
        try:
            records = desk.ledger.load().records.hosts
        except (Unreachable, Ambiguous) as error:
            yield {"journal": f"does not answer, trying again: {error}"}
        else:
            is_open = {r.incident: r for _, r in sorted(records.items()) if watched is None or r.incident in watched}
            seen.update(is_open)
            yield {name: f"{record.state}. {progress(record)}" for name, record in is_open.items()}
            if not is_open:
                return
        pause.wait(EVERY_S)


def _lost(desk: Desk, seen: Mapping[str, HostRecovery]) -> bool:
    """As the history has it: the last look may have been a second before the end."""
    ended = {closed.record.incident: closed.record for closed in desk.ledger.read_history()}
    return any(i.state in LOST for name, last in seen.items() for i in ended.get(name, last).instances.values())
