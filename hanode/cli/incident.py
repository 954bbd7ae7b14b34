"""`hanode incident`: the failures under way and those behind us, instance by instance."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cliff.command import Command
from cliff.formatters.commaseparated import CSVLister
from stevedore.extension import ExtensionManager

from hanode.cli.asking import Word, find_record
from hanode.cli.base import OK, Card, Desk, Far, Lines, Table, add_formatter, cleaner
from hanode.cli.spans import span_s
from hanode.core.lifecycle import HOST_SENTENCES, INSTANCE_SENTENCES
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.engine.report import progress, records_in_order
from hanode.engine.review import Review, review, reviews
from hanode.engine.review_text import html, markdown
from hanode.errors import Refused

COLUMNS = ("incident", "host", "state", "opened_at", "progress", "reason")


class IncidentList(Table):
    """List open incidents, or with --all also those that ended."""

    example = "  hanode incident list\n  hanode incident list --all -f csv"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--all", action="store_true", help="also those that ended, the newest last")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        ledger = self.desk(parsed_args).ledger
        ended = ledger.read_history() if parsed_args.all else ()
        rows = [_row(closed.record, "ended", closed.outcome) for closed in ended]
        rows += [_row(record, str(record.state), record.reason) for record in records_in_order(ledger.load().records)]
        return COLUMNS, rows


class IncidentShow(Card):
    """Show one incident with what became, or is to become, of each instance.

    --report is the whole story for a ticket or a mail: what happened when, how long each part took, who was down.
    --by-project lists whose instances were down, from when to when; -f csv goes into a spreadsheet.
    """

    example = ("  hanode incident show compute7\n  hanode incident show compute7-20260309T031500Z -f yaml\n"
               "  hanode incident show compute7-20260309T031500Z --report md > ticket.md\n"
               "  hanode incident show compute7-20260309T031500Z --by-project -f csv > down.csv")

    def _load_formatter_plugins(self) -> ExtensionManager[Any]:
        return add_formatter(super()._load_formatter_plugins(), "csv", CSVLister)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("incident", metavar="INCIDENT", help="its id, or the host of an open one")
        shape = parser.add_mutually_exclusive_group()
        shape.add_argument("--report", choices=sorted(REPORTS), help="the whole story, as Markdown, a page or an object")
        shape.add_argument("--by-project", action="store_true", help="who was down, from when to when, in the order of the projects")
        add_target(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        desk = self.desk(parsed_args)
        ended = {closed.record.incident: closed for closed in desk.ledger.read_history()}
        closed = ended.get(parsed_args.incident)
        record, outcome = (closed.record, closed.outcome) if closed else (find_record(desk, parsed_args.incident), "")
        if parsed_args.report or parsed_args.by_project:
            found = review(record, target_s(desk, parsed_args), outcome)
            return (DOWN, _downs(found)) if parsed_args.by_project else ((), (REPORTS[parsed_args.report](found),))
        if parsed_args.formatter == "csv":
            raise Refused("csv is for rows: give --by-project too, or -f json")
        fields = {
            "incident": record.incident, "host": record.host,
            "state": f"ended: {outcome}" if closed else f"{record.state}: {HOST_SENTENCES[record.state]}",
            "reason": record.reason, "waits_for": "" if closed else _waits_for(desk, record), "cause": record.cause,
            "opened_at": record.opened_at, "fenced_at": record.fenced_at,
            "ended_at": record.ended_at, "proof": f"{record.proof.kind}: {record.proof.text}" if record.proof else "",
            "power_offs_sent": record.fence_attempt, **({"disks": record.cut_text} if record.cut else {}), "progress": progress(record),
            "instances": Lines([_line(i) for _, i in sorted(record.instances.items())]),
        }
        return tuple(fields), tuple(fields.values())

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Any]) -> int:
        if parsed_args.report:
            print(*data, sep="", end="", file=self.app.stdout)
            return OK
        if not parsed_args.by_project:
            return super().produce_output(parsed_args, column_names, data)
        if not hasattr(self.formatter, "emit_list"):
            raise Refused(f"--by-project lists rows, which -f {parsed_args.formatter} cannot show; take csv, json, table, value or yaml")
        clean = cleaner(parsed_args.formatter)
        self.formatter.emit_list(column_names, [[clean(cell) for cell in row] for row in data], self.app.stdout, parsed_args)
        return OK


def _waits_for(desk: Desk, record: HostRecovery) -> str:
    """Why a host that is back is not taken back yet, as the leader published it last."""
    known = (desk.ledger.read_status() or {}).get("hosts", {}).get(record.host, {})
    return str(known.get("waits_for", ""))


class IncidentExport(Far, Command):
    """Write each incident that ended as one line of JSON, the oldest first, for an archive: the journal keeps only the newest.

    The lines are those of `hanode incident show INCIDENT --report json`.
    """

    example = "  hanode incident export > incidents.jsonl\n  hanode incident export --since 30d | jq -r .outcome"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--since", metavar="TIME", type=span_s, help="only those that began so long ago or later: 12h, 30d")
        add_target(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        for found in reviews(desk.ledger.read_history(), target_s(desk, parsed_args), begin(parsed_args.since)):
            print(json.dumps(found.fields(), sort_keys=True), file=self.app.stdout)
        return OK


def begin(since_s: float | None) -> datetime | None:
    return None if since_s is None else datetime.now(UTC) - timedelta(seconds=since_s)


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", metavar="TIME", type=span_s, help="recovery time to aim at (default: [DEFAULT] target_recovery_s)")


def target_s(desk: Desk, args: argparse.Namespace) -> float:
    return float(args.target or desk.settings.get("DEFAULT", "target_recovery_s"))


def _json(found: Review) -> str:
    return json.dumps(found.fields(), sort_keys=True, indent=1) + "\n"


REPORTS: Mapping[str, Callable[[Review], str]] = {"html": html, "json": _json, "md": markdown}
DOWN = ("project", "instance", "name", "host", "down_from", "down_until", "down_s", "state", "reason")


def _downs(found: Review) -> list[tuple[Any, ...]]:
    rows = [(d.project_id, d.instance_id, d.name, found.host, d.down_from, d.down_until, d.down_s, d.state, d.reason)
            for d in found.instances]
    return sorted(rows, key=lambda row: (row[0], row[2], row[1]))


class IncidentAbandon(Word):
    """Give an incident up: hanode does nothing more for this host and its instances.

    For a host that waits for an operator and turned out to live. What was already restarted elsewhere stays there.
    """

    example = "  hanode incident abandon compute7 --reason 'it was only the management network'"
    verb = "abandon"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("incident", metavar="INCIDENT", help="its id, or its host")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        record = find_record(desk, parsed_args.incident)
        self.led_report(desk)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, self.verb, record.host, record)


class IncidentApprove(IncidentAbandon):
    """Allow hanode to fence the host and to evacuate its instances (mode approve)."""

    example = "  hanode incident approve compute7 --reason 'seen on the console: kernel panic'"
    verb = "approve"


class IncidentRetry(Word):
    """Try FAILED instances of an incident again: one, or all of them.

    An instance that waits because it ran on several hosts that failed is let go only if it is named.
    A STUCK one is not tried again, because it may still run on its target: look at it with `openstack server show`.
    """

    example = "  hanode incident retry compute7 --reason 'quota raised'\n  hanode incident retry compute7 3b0c8e6e-..."

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("incident", metavar="INCIDENT", help="its id, or its host")
        parser.add_argument("instance", metavar="INSTANCE", nargs="?", default="", help="id of one instance; all failed ones without")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        record = find_record(desk, parsed_args.incident)
        self.led_report(desk)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "retry", record.host, record, parsed_args.instance)


def _line(instance: InstanceRecovery) -> str:
    where = f" -> {instance.target}" if instance.target else ""
    doubted = f"; ran on {', '.join(instance.failed_hosts)}, which failed: goes last and alone" if instance.is_doubted else ""
    return (f"{instance.name} ({instance.instance_id}): {instance.state}{where}, "
            f"{instance.reason or INSTANCE_SENTENCES[instance.state]}{doubted}")


def _row(record: HostRecovery, state: str, reason: str) -> tuple[Any, ...]:
    return record.incident, record.host, state, record.opened_at, progress(record), reason
