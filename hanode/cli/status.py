"""`hanode status`: the first thing to type at three in the morning."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from cliff.formatters.base import SingleFormatter
from stevedore.extension import ExtensionManager

from hanode.cli.base import Card, Desk, Lines, add_formatter
from hanode.engine import report
from hanode.engine.report import Report, Severity


class Sentences(SingleFormatter):
    """The format for people: the report's own sentences."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """No options."""

    def emit_one(self, column_names: Sequence[str], data: Iterable[Any], stdout: Any, parsed_args: argparse.Namespace) -> None:
        shown = dict(zip(column_names, data, strict=True))
        lines = [f"{name}: {value}" for name, value in shown.items()] if parsed_args.columns else [str(shown["sentences"])]
        print("\n".join(lines), file=stdout)


class Status(Card):
    """Show whether hanode is armed, what is down, who works on it, and what you must type.

    With --check, the exit code is 0: all is well, 1: attention (an incident, a suspect host, a hold), 2: critical (a host
    or an instance needs you), 3: cannot tell (no leader, or its status is old, or journal or configuration cannot be read).
    """

    example = "  hanode status\n  hanode status --check -f value -c severity"
    severity = Severity.UNKNOWN

    @property
    def formatter_default(self) -> str:
        return "text"

    def _load_formatter_plugins(self) -> ExtensionManager[Any]:
        return add_formatter(super()._load_formatter_plugins(), "text", Sentences)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--check", action="store_true", help="exit with the severity, for monitoring")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        code = super().run(parsed_args)
        return int(self.severity) if parsed_args.check else code

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        report = read_report(self.desk(parsed_args))
        self.severity = report.severity
        fields = {key: Lines(value) if isinstance(value, list) else value for key, value in report.fields().items()}
        return tuple(fields), tuple(fields.values())


def read_report(desk: Desk) -> Report:
    return report.read_report(desk.cloud, desk.ledger, datetime.now(UTC))
