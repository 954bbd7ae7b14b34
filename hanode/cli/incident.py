"""`hanode incident`: the failures under way and those behind us, instance by instance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hanode.cli.asking import Word, find_record
from hanode.cli.base import Card, Lines, Table
from hanode.core.lifecycle import HOST_SENTENCES, INSTANCE_SENTENCES
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.engine.report import progress, records_in_order

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
    """Show one incident with what became, or is to become, of each instance."""

    example = "  hanode incident show compute7\n  hanode incident show compute7-20260309T031500Z -f yaml"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("incident", metavar="INCIDENT", help="its id, or the host of an open one")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        desk = self.desk(parsed_args)
        ended = {closed.record.incident: closed for closed in desk.ledger.read_history()}
        closed = ended.get(parsed_args.incident)
        record = closed.record if closed else find_record(desk, parsed_args.incident)
        fields = {
            "incident": record.incident, "host": record.host,
            "state": f"ended: {closed.outcome}" if closed else f"{record.state}: {HOST_SENTENCES[record.state]}",
            "reason": record.reason, "cause": record.cause, "opened_at": record.opened_at, "fenced_at": record.fenced_at,
            "proof": f"{record.proof.kind}: {record.proof.text}" if record.proof else "",
            "power_offs_sent": record.fence_attempt, "progress": progress(record),
            "instances": Lines([_line(i) for _, i in sorted(record.instances.items())]),
        }
        return tuple(fields), tuple(fields.values())


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
    return (f"{instance.name} ({instance.instance_id}): {instance.state}{where}, "
            f"{instance.reason or INSTANCE_SENTENCES[instance.state]}")


def _row(record: HostRecovery, state: str, reason: str) -> tuple[Any, ...]:
    return record.incident, record.host, state, record.opened_at, progress(record), reason
