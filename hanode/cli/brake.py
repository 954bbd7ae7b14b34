"""`hanode brake`: why is nobody fenced, and what ends that?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hanode.cli.asking import Word, named_hosts
from hanode.cli.base import Desk, Table
from hanode.cli.host import fresh_or_said
from hanode.cli.spans import span_s
from hanode.cli.status import read_report
from hanode.core.decisions import Verdict
from hanode.engine.report import Report
from hanode.errors import Refused


class BrakeShow(Table):
    """List the holds that keep hanode from fencing anybody now; an empty list is the normal state."""

    example = "  hanode brake show"

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        report = fresh_or_said(read_report(self.desk(parsed_args)))
        return ("name", "reason", "ends"), [(h.get("name"), h.get("reason"), h.get("ends")) for h in report.holds]


ALIVE = frozenset({Verdict.HEALTHY, Verdict.AGENT_DOWN, Verdict.PARTITIONED, Verdict.EXEMPT})


class BrakeRelease(Word):
    """Name hosts that fell silent while the brake held: they really failed and are to be recovered.

    A hold never ends into a shooting: hosts that fell silent under it stay HELD until they are seen up again or named here, after
    somebody looked at them. For [brake] named_s (ten minutes) each is judged by its own evidence alone. --domain names the silent
    hosts of a rack, a zone or a storage domain; who lives there is left out.
    """

    example = ("  hanode brake release compute7 --reason 'its rack lost power, the others only a switch'\n"
               "  hanode brake release --domain r12 --reason 'its PDU burns'")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("hosts", metavar="HOST", nargs="*")
        parser.add_argument("--domain", metavar="NAME", help="every silent host of this rack, zone or storage domain")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if bool(parsed_args.hosts) == bool(parsed_args.domain):
            raise Refused("name the hosts, or --domain NAME, and not both")
        desk = self.desk(parsed_args)
        report = self.led_report(desk)
        hosts = named_hosts(report, parsed_args.hosts, parsed_args.domain or "")
        if parsed_args.domain:
            hosts = [host for host in hosts if report.hosts[host].get("verdict") not in ALIVE]
        if not hosts:
            raise Refused(f"no host of {parsed_args.domain} is silent: there is nothing to release")
        self._show(desk, report, hosts)
        self.must_type(parsed_args, "Type their number to go on", str(len(hosts)))
        self.ask_reason(parsed_args)
        return self.say_of_each(desk, parsed_args, "release-hold", dict.fromkeys(hosts))

    def _show(self, desk: Desk, report: Report, hosts: Sequence[str]) -> None:
        minutes = desk.settings.get("brake", "named_s") / 60
        lines = [f"For {minutes:g} min each of these is powered off once it shows no sign of life, whatever the brake says:"]
        lines += [f"  {host}: {report.hosts[host].get('verdict')}, {report.hosts[host].get('reason') or 'no reason'}" for host in hosts]
        print("\n".join(lines), file=self.app.stdout)


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
