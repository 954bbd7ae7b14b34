"""How does an operator's word reach the leader, and how does the operator learn what became of it?

The command is written to the journal under a key of its own; the leader of the day checks it anew, against the world as
it is then, and answers. Only that answer makes the exit code 0.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from hanode.cli.base import OK, REFUSED, Act, Desk
from hanode.cli.status import read_report
from hanode.conf import build
from hanode.core.model import Answer, Command
from hanode.core.records import HostRecovery
from hanode.engine.plain import one_line
from hanode.engine.report import Report
from hanode.errors import Refused

TTL_S = 120.0
LOOK_S = 0.2
MARGIN_S = 5.0


class Word(Act):
    """A command to the leader: who says it, why, and for how long it is meant."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--reason", metavar="TEXT", help="why; kept with the incident. Asked for when missing")
        parser.add_argument("--as", dest="who", metavar="NAME", help="who says so, when several people share a login")
        parser.add_argument("--yes", action="store_true", help="do not ask anything (for scripts); needs --reason")
        return parser

    def say(self, desk: Desk, args: argparse.Namespace, verb: str, host: str, record: HostRecovery | None = None,
            instance_id: str = "", for_s: float = 0.0) -> int:
        """Write the command, wait for the leader's answer, report it."""
        return self.hear(desk, self.give(desk, args, verb, host, record, instance_id=instance_id, for_s=for_s))

    @staticmethod
    def give(desk: Desk, args: argparse.Namespace, verb: str, host: str, record: HostRecovery | None = None, **more: Any) -> Command:
        """Write the command; the leader answers when it comes to it."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        command = Command(
            command_id=uuid.uuid4().hex, verb=verb, host=host, who=who(args.who), why=args.reason, at=at, ttl_s=TTL_S,
            incident=record.incident if record else "", attempt=record.fence_attempt if record else 0, **more,
        )
        desk.ledger.submit_command(command)
        return command

    def hear(self, desk: Desk, command: Command, about: str = "", to: TextIO | None = None) -> int:
        """Wait for the leader's answer, report it; `about`: which of several commands it answers; `to`: where else than to stdout."""
        patience_s = wait_s(desk)
        answer = self._wait(desk, command, patience_s)
        if answer is None:
            print(f"Not answered within {patience_s:.0f} s: no daemon leads now, or it is slow. A leader that comes "
                  f"within {TTL_S:.0f} s still decides on it. Look with `hanode status`; nothing has been done yet.", file=sys.stderr)
            return REFUSED
        print(f"{'Accepted' if answer.accepted else 'Refused by the leader'}: {about}{one_line(answer.text)}",
              file=(to or self.app.stdout) if answer.accepted else sys.stderr)
        return OK if answer.accepted else REFUSED

    @staticmethod
    def _wait(desk: Desk, command: Command, patience_s: float) -> Answer | None:
        give_up_s = time.monotonic() + patience_s
        while (answer := desk.ledger.read_answer(command.command_id)) is None and time.monotonic() < give_up_s:
            time.sleep(LOOK_S)
        return answer

    def led_report(self, desk: Desk) -> Report:
        """The leader's own view; refuses when nobody leads, because nobody would check the command against the world."""
        report = read_report(desk)
        if not report.status or report.stale:
            raise Refused(f"nobody leads now ({report.standing}). {why_nobody(desk)}")
        return report

    def ask_reason(self, args: argparse.Namespace) -> None:
        """Make sure that there is a reason; from a person if one is there."""
        if args.reason:
            return
        if args.yes or not self.app.stdin.isatty():
            raise Refused("--reason TEXT is needed: without a terminal nobody can be asked")
        args.reason = self.prompt("Why? (kept with the incident) ")
        if not args.reason:
            raise Refused("no reason was given; nothing was done")

    def must_type(self, args: argparse.Namespace, question: str, wanted: str) -> None:
        """Nobody says yes to this by habit: a word of the question has to be typed."""
        if args.yes:
            return
        if not self.app.stdin.isatty():
            raise Refused("without a terminal, --yes and --reason TEXT are needed")
        if self.prompt(f"{question}: ") != wanted:
            raise Refused(f"that is not {wanted!r}; nothing was done")

    def say_of_each(self, desk: Desk, args: argparse.Namespace, verb: str, records: Mapping[str, HostRecovery | None]) -> int:
        """One command for each host, so that the leader checks each by itself; all are given before the first answer is waited for."""
        given = [self.give(desk, args, verb, host, record) for host, record in records.items()]
        answers = [self.hear(desk, command, f"{command.host}: ") for command in given]
        return OK if all(answer == OK for answer in answers) else REFUSED

    def prompt(self, question: str) -> str:
        print(question, end="", flush=True, file=self.app.stdout)
        return str(self.app.stdin.readline()).strip()


class NamedHost(Word):
    """A word about one host that needs no incident; `verb` is what the leader hears."""

    verb = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        desk = self.desk(parsed_args)
        known_host(self.led_report(desk), parsed_args.host)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, self.verb, parsed_args.host, for_s=getattr(parsed_args, "for_s", 0.0))


UNREAD = frozenset({"NOVA_UNREADABLE", "FIRST_READ"})
"""Under these holds the leader has no list of hosts: that it does not name one says nothing about the host."""


def known_host(report: Report, host: str) -> Mapping[str, Any]:
    if host in report.hosts:
        return report.hosts[host]
    unread = next((hold for hold in report.holds if hold.get("name") in UNREAD), None)
    if unread is not None:
        raise Refused(f"the leader cannot tell about {host}, because it has no list of hosts now ({unread['name']}: {unread['reason']}). "
                      f"Try again when {unread['ends']}")
    raise Refused(f"{host} is not a compute host that the leader knows; see `hanode host list`")


def named_hosts(report: Report, hosts: list[str], shared_by: str) -> list[str]:
    """Hosts that the leader knows, by name or by what they share."""
    if not shared_by:
        for host in hosts:
            known_host(report, host)
        return sorted(set(hosts))
    shared = {name: [str(label) for label in host.get("shares", [])] for name, host in report.hosts.items()}
    found = sorted(name for name, labels in shared.items() if any(shared_by in {label, label.partition(" ")[2]} for label in labels))
    if not found:
        known = ", ".join(sorted({label for labels in shared.values() for label in labels})) or "none is declared"
        raise Refused(f"no host shares {shared_by!r}; known are: {known} (aggregate metadata, [brake] failure_domain_keys)")
    return found


def why_nobody(desk: Desk) -> str:
    """Daemons that run but cannot write the journal lead as little as those that do not run; the remedy is another."""
    from hanode.adapters.etcd_client import Access
    from hanode.adapters.etcd_health import read_health

    url = desk.settings.get("journal", "url")
    ill = read_health(url, Access(**build.journal(desk.settings))) if url.startswith("etcd3+") else ()
    full = [one.endpoint for one in ill if one.is_full]
    silent = [one.endpoint for one in ill if one.trouble]
    if full:
        return f"etcd is out of space (NOSPACE at {', '.join(full)}), so no daemon can write: etcdctl defrag, then etcdctl alarm disarm"
    more = f"; etcd does not answer at {', '.join(silent)}" if silent else ""
    return f"No daemon runs (systemctl start hanode), or none can write the journal (journalctl -u hanode -n 20){more}. Then try again"


def find_record(desk: Desk, name: str) -> HostRecovery:
    """An open incident by its id or by its host."""
    records = desk.ledger.load().records.hosts
    found = next((r for _, r in sorted(records.items()) if name in {r.host, r.incident}), None)
    if found is None:
        raise Refused(f"{name} is neither the host nor the id of an open incident; see `hanode incident list`")
    return found


def wait_s(desk: Desk) -> float:
    """Two ticks of the leader and a margin."""
    get = desk.settings.get
    tick_s = max(get("office", "lease_ttl_s") / 5, get("detection", "poll_s") or get("detection", "report_interval_s") / 3)
    return float(2 * tick_s + MARGIN_S)


def who(named: str | None) -> str:
    """Who types: a name given with --as is kept together with the login, not instead of it."""
    login = os.environ.get("SUDO_USER") or getpass.getuser()
    return f"{named} (login {login})" if named else login
