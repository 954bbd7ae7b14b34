"""`hanode host`: what is known of a host, and the words an operator can say about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hanode.cli.asking import NamedHost, Word, find_record, known_host
from hanode.cli.base import Card, Pairs, Table
from hanode.cli.status import read_report
from hanode.core.lifecycle import HostState
from hanode.engine.report import Report
from hanode.errors import Refused

COLUMNS = ("host", "verdict", "state", "zone", "domain", "incident", "reason")


class HostList(Table):
    """List all compute hosts with what hanode thinks of them."""

    example = "  hanode host list --unwell\n  hanode host list -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--unwell", action="store_true", help="only hosts that are not HEALTHY or EXEMPT")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        report = fresh_or_said(read_report(self.desk(parsed_args)))
        names = report.unwell if parsed_args.unwell else sorted(report.hosts)
        rows = [tuple({"host": name, **report.hosts[name]}.get(column, "") for column in COLUMNS) for name in names]
        return COLUMNS, rows


class HostShow(Card):
    """Show one host: verdict, evidence, and its incident if it has one."""

    example = "  hanode host show compute7"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        report = fresh_or_said(read_report(self.desk(parsed_args)))
        known = known_host(report, parsed_args.host)
        exempt = report.status.get("exempt", {}).get(parsed_args.host, "")
        fields = {"host": parsed_args.host, **{column: known.get(column, "") for column in COLUMNS[1:]},
                  "exempt": exempt, "fencing": _fencing(report, parsed_args.host), "evidence": Pairs(dict(known.get("evidence", {}))),
                  "updated_at": report.status.get("updated_at")}
        return tuple(fields), tuple(fields.values())


def _fencing(report: Report, host: str) -> str:
    """What is known to be wrong with its power devices."""
    said = {"not believed": report.quarantined, "would fail": report.status.get("unprotected", {}), "muted": report.status.get("muted", {})}
    return "; ".join(f"{what}: {told[host]}" for what, told in said.items() if host in told)


class HostConfirmFenced(Word):
    """Confirm, as a person, that a host is dead, so that its instances are restarted elsewhere.

    Only for a host that hanode could not power off by itself (NEEDS_OPERATOR). Go there, or use its console: it must be
    off, or cut off from all networks AND storage, and it must stay so. If it still runs, its instances will run twice and
    their disks will be destroyed. The leader checks again that nothing of the host shows life, and refuses otherwise.
    """

    example = ("  hanode host confirm-fenced compute7\n"
               "  hanode host confirm-fenced compute7 --yes --reason 'mainboard dead, power cable pulled'")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST", help="the name, in full, as Nova knows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk, host = self.desk(parsed_args), parsed_args.host
        report = self.led_report(desk)
        known = known_host(report, host)
        if known.get("state") != HostState.NEEDS_OPERATOR:
            raise Refused(f"{host} does not wait for an operator: it is {known.get('state') or known.get('verdict')} "
                          f"({known.get('reason')}). Nothing was done")
        record = find_record(desk, host)
        self._show(host, known, record.reason)
        if not parsed_args.yes:
            if not self.app.stdin.isatty():
                raise Refused("without a terminal, --yes and --reason TEXT are needed")
            if self.prompt("Type the name of the host to confirm that it is OFF: ") != host:
                raise Refused("that is not the name of the host; nothing was done")
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "confirm-fenced", host, record)

    def _show(self, host: str, known: Mapping[str, Any], reason: str) -> None:
        lines = [f"{host} is {known.get('verdict')}: {known.get('reason')}", f"It waits for you because: {reason}"]
        lines += [f"  {key}: {value}" for key, value in sorted(known.get("evidence", {}).items())]
        lines.append("If it still runs, its instances will run twice and their disks will be destroyed.")
        print("\n".join(lines), file=self.app.stdout)


class HostRelease(Word):
    """Let a host that failed take instances again, once it is repaired and back.

    Also: take our marks off a host whose incident the journal lost.
    """

    example = "  hanode host release compute7 --reason 'memory replaced, burn-in passed'"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        report = self.led_report(desk)
        known_host(report, parsed_args.host)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "release", parsed_args.host, report.records.hosts.get(parsed_args.host))


class HostEvacuate(NamedHost):
    """Name a host that hanode leaves alone, because somebody forced it down by hand, as one to be judged after all.

    Its own evidence still decides: no sign of life, or its power device reading off; then it is fenced and evacuated.
    """

    example = "  hanode host evacuate compute7 --reason 'confirmed with the night shift'"
    verb = "evacuate"


def fresh_or_said(report: Report) -> Report:
    """Old news is shown, but never as news."""
    if not report.status:
        raise Refused("no leader has ever published what it knows; see `hanode status`")
    if report.stale:
        print(f"hanode: STALE: as of {report.status.get('updated_at')}, nobody has led since", file=sys.stderr)
    return report
