"""`hanode host`: what is known of a host, and the words an operator can say about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cliff.columns import FormattableColumn

from hanode.cli.asking import NamedHost, Word, find_record, known_host, named_hosts
from hanode.cli.base import Card, Desk, Pairs, Table
from hanode.cli.status import read_report
from hanode.core.brake import PROVEN
from hanode.core.lifecycle import HostState
from hanode.engine.plain import one_line
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
    """Show one host: verdict, its incident if it has one, and every signal of it: who saw it, how old it is, what it counted for.

    waits_for: why a host that came back is not taken back yet.

    Ages are as of updated_at. A host that is well has no signals: nobody looks closer than at its heartbeat.
    """

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
                  "waits_for": known.get("waits_for", ""), "exempt": exempt, "fencing": _fencing(report, parsed_args.host),
                  "evidence": Pairs(dict(known.get("evidence", {}))),
                  "signals": Signals(known.get("signals", [])),
                  "updated_at": report.status.get("updated_at")}
        return tuple(fields), tuple(fields.values())


def _fencing(report: Report, host: str) -> str:
    """What is known to be wrong with its power devices."""
    said = {"not believed": report.quarantined, "would fail": report.status.get("unprotected", {}), "muted": report.status.get("muted", {})}
    return "; ".join(f"{what}: {told[host]}" for what, told in said.items() if host in told)


class Signals(FormattableColumn[list[dict[str, Any]]]):
    """A line for each signal for people, a list of objects for programs."""

    def human_readable(self) -> str:
        return "\n".join(_line(signal) for signal in self._value)


def _line(signal: Mapping[str, Any]) -> str:
    age = "" if signal["age_s"] is None else f" {signal['age_s']:.0f} s ago"
    times = f", {signal['times']} times" if signal["times"] > 1 else ""
    return f"{signal['signal']} ({signal['seen_by']}): {signal['said']}{age}{times}: {signal['counts_for']}"


class HostConfirmFenced(Word):
    """Confirm, as a person, that a host is dead, so that its instances are restarted elsewhere.

    Only for a host that hanode could not power off by itself (NEEDS_OPERATOR), or whose power device proved it off and cannot be
    read any more (somebody has pulled its plug). Go there, or use its console: it must be off, or cut off from all networks AND
    storage, and it must stay so. If it still runs, its instances will run twice and their disks will be destroyed. The leader
    checks again that nothing of the host shows life, and refuses otherwise.
    --domain confirms at once every host of a dead rack, zone or storage domain that waits for it; each is checked by itself.
    """

    example = ("  hanode host confirm-fenced compute7\n"
               "  hanode host confirm-fenced --domain r12\n"
               "  hanode host confirm-fenced compute7 --yes --reason 'mainboard dead, power cable pulled'")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST", nargs="?", default="", help="the name, in full, as Nova knows it")
        parser.add_argument("--domain", metavar="NAME", help="every host of this rack, zone or storage domain that waits for you")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if bool(parsed_args.host) == bool(parsed_args.domain):
            raise Refused("name the host, or --domain NAME, and not both")
        desk = self.desk(parsed_args)
        report = self.led_report(desk)
        return self._domain(desk, report, parsed_args) if parsed_args.domain else self._one(desk, report, parsed_args)

    def _domain(self, desk: Desk, report: Report, parsed_args: argparse.Namespace) -> int:
        members = named_hosts(report, [], parsed_args.domain)
        waiting = [host for host in members if report.hosts[host].get("state") == HostState.NEEDS_OPERATOR]
        if not waiting:
            raise Refused(f"no host of {parsed_args.domain} waits for an operator; see `hanode host list`. Nothing was done")
        records = {host: find_record(desk, host) for host in waiting}
        for host, record in records.items():
            self._show(host, known_host(report, host), record.reason)
        others = [f"{host} ({report.hosts[host].get('verdict')})" for host in members if host not in records]
        if others:
            print(f"Not confirmed, because they do not wait for you: {', '.join(others)}", file=self.app.stdout)
        question = f"Type the name of the domain to confirm that ALL {len(waiting)} hosts are OFF ({', '.join(waiting)})"
        self.must_type(parsed_args, question, parsed_args.domain)
        self.ask_reason(parsed_args)
        return self.say_of_each(desk, parsed_args, "confirm-fenced", records)

    def _one(self, desk: Desk, report: Report, parsed_args: argparse.Namespace) -> int:
        host = parsed_args.host
        known = known_host(report, host)
        if known.get("state") not in {HostState.NEEDS_OPERATOR, *PROVEN}:
            raise Refused(f"{host} does not wait for an operator: it is {known.get('state') or known.get('verdict')} "
                          f"({known.get('reason')}). Nothing was done")
        record = find_record(desk, host)
        silent = "its power device cannot be read any more, and nothing is evacuated without that or your word"
        self._show(host, known, record.reason if record.state is HostState.NEEDS_OPERATOR else silent)
        self.must_type(parsed_args, "Type the name of the host to confirm that it is OFF", host)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "confirm-fenced", host, record)

    def _show(self, host: str, known: Mapping[str, Any], reason: str) -> None:
        lines = [f"{host} is {known.get('verdict')}: {known.get('reason')}", f"It waits for you because: {reason}"]
        lines += [f"  {key}: {value}" for key, value in sorted(known.get("evidence", {}).items())]
        lines.append("If it still runs, its instances will run twice and their disks will be destroyed.")
        print("\n".join(map(one_line, lines)), file=self.app.stdout)


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


class HostSpare(Word):
    """Say what becomes of a host kept in reserve that is in use: give it back as soon as it is empty, or keep it enabled for good.

    By itself it is given back when it is empty and the hosts in whose place it stands are back.
    """

    example = ("  hanode host spare spare1 --give-back --reason 'wanted for tests'\n"
               "  hanode host spare spare1 --keep --reason 'compute7 is not repaired'")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        what = parser.add_mutually_exclusive_group(required=True)
        for option, verb, help_text in (
            ("--give-back", "return-spare", "nothing new is put on it from now on"),
            ("--keep", "keep-spare", "from now on it is a host like any other"),
        ):
            what.add_argument(option, dest="verb", action="store_const", const=verb, help=help_text)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        known_host(self.led_report(desk), parsed_args.host)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, parsed_args.verb, parsed_args.host)


def fresh_or_said(report: Report) -> Report:
    """Old news is shown, but never as news."""
    if not report.status:
        raise Refused("no leader has ever published what it knows; see `hanode status`")
    if report.stale:
        print(f"hanode: STALE: as of {report.status.get('updated_at')}, nobody has led since", file=sys.stderr)
    return report
