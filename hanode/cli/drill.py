"""`hanode drill`: would the failure of this host end well? Found out on a quiet day, on instances that nobody needs."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hanode.cli.asking import Word, known_host
from hanode.cli.base import OK, REFUSED, Desk, Rows
from hanode.cli.canaries import Flock
from hanode.core.lifecycle import DRILL_SENTENCES, DrillState, HostState
from hanode.core.records import Drill, HostRecovery, InstanceRecovery
from hanode.engine.age import time_of
from hanode.engine.plain import one_line
from hanode.engine.report import Report
from hanode.errors import Ambiguous, Refused, Unreachable

EVERY_S = 0.5
COLUMNS = ("what", "seconds", "how")

PHASES = (
    ("off", "cut", "off", "from the power-off to the first reading of off"),
    ("proof", "off", "proven", "until it was silent and had read off twice"),
    ("evacuate", "proven", "moved", "until Nova had its canaries on other hosts"),
    ("verify", "moved", "accounted", "until each of them was as before"),
    ("return", "accounted", "back", "until it was on again and reported"),
    ("release", "back", "released", "until Nova used it again"),
    ("all of it", "cut", "released", ""),
)
"""What is timed: its name, from which of the drill's stamps to which, and what that means."""


class HostDrill(Word, Rows):
    """Rehearse the failure of a host: its power is cut for real, its canaries are restarted elsewhere, and it is taken back.

    Only of a host that is well and has nothing on it but canaries: instances that this command makes ([drill] flavor, image) and
    deletes, or instances of your own with `hanode:canary` in their metadata. What your cloud lacks for an evacuation, a capability
    in Ceph, a service token, the key of an encrypted volume, shows here and not at night. It is an incident like any other: it
    alarms, and is kept. Interrupted, it goes on: the same command follows it again; with --end no more is tried, and the host is
    taken back. Exit code 0: every canary came back elsewhere, and the host as well. 1: refused, or something went wrong.
    """

    example = ("  hanode drill compute7 --reason 'new rack'\n"
               "  hanode drill compute7 --reason 'every quarter' --yes -f json\n"
               "  hanode drill compute7 --end --reason 'seen enough'")
    code = REFUSED

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        parser.add_argument("--end", action="store_true", help="end the drill of this host, and take away what is left of it")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        self.code = REFUSED
        return int(super().run(parsed_args)) or self.code

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        desk = self.desk(parsed_args)
        report = self.led_report(desk)
        host = parsed_args.host
        known_host(report, host)
        drill = drill_of(desk, host)
        if drill is None and parsed_args.end:
            raise Refused(f"there is no drill of {host}; see `hanode status`")
        flock = Flock(desk.settings, host, self._say)
        try:
            if drill is None:
                self._begin(desk, report, parsed_args, flock)
            elif parsed_args.end and drill.state is not DrillState.OVER:
                self.ask_reason(parsed_args)
                self._accepted(desk, parsed_args, "end-drill", host)
            ended = self._follow(desk, host)
        except KeyboardInterrupt:
            raise Refused(f"not watched any more. What was begun goes on: `hanode drill {host}` follows it, with --end it ends") from None
        return COLUMNS, list(self._tell(desk, parsed_args, flock, ended))

    def _say(self, text: str) -> None:
        print(one_line(text), file=sys.stderr, flush=True)

    # ------------------------------------------------------------------ begin

    def _begin(self, desk: Desk, report: Report, args: argparse.Namespace, flock: Flock) -> None:
        """Canaries first, because nothing can be placed on a host that Nova calls disabled."""
        host = args.host
        found = report.hosts[host]
        if found.get("verdict") != "HEALTHY":
            raise Refused(f"no drill of {host}: it is {found.get('verdict')} ({found.get('reason')})")
        flock.refuse_others()
        self.must_type(args, f"Type the name of the host: its power will be cut with {flock.described()} on it", host)
        self.ask_reason(args)
        try:
            canaries = flock.gather()
            flock.check("before", canaries)
            self._accepted(desk, args, "drill", host, canaries=tuple(sorted(canaries)), made=flock.makes)
        except BaseException:
            flock.clean()  # nothing was promised yet: what was made in vain goes at once
            raise

    def _accepted(self, desk: Desk, args: argparse.Namespace, verb: str, host: str, **more: Any) -> None:
        command = self.give(desk, args, verb, host, **more)
        if self.hear(desk, command, to=sys.stderr) != OK:
            raise Refused(f"the leader did not accept `{verb}` of {host}")

    # ------------------------------------------------------------------ meanwhile

    def _follow(self, desk: Desk, host: str) -> Drill:
        """Until it is over, however long that takes: a line for each thing that changes."""
        pause, told, latest = threading.Event(), "", None
        while True:
            try:
                latest = drill_of(desk, host) or latest
                line = self._line(desk, latest)
            except (Unreachable, Ambiguous) as error:
                line = f"the journal does not answer, trying again: {error}"
            if line != told:
                self._say(f"{datetime.now(UTC):%H:%M:%S} {line}")
                told = line
            if latest is None:
                raise Refused(f"there is no drill of {host} any more: somebody else has ended it")
            if latest.state is DrillState.OVER:
                return latest
            pause.wait(EVERY_S)

    def _line(self, desk: Desk, drill: Drill | None) -> str:
        if drill is None:
            return "no drill"
        record = desk.ledger.load().records.hosts.get(drill.host)
        about = f"; {record.state}: {record.reason}" if record is not None and record.state is not HostState.SUSPECT else ""
        return f"{drill.state}: {drill.reason or DRILL_SENTENCES[drill.state]}{about}"

    # ------------------------------------------------------------------ the end

    def _tell(self, desk: Desk, args: argparse.Namespace, flock: Flock, drill: Drill) -> Iterator[tuple[Any, ...]]:
        """What came of it; then its canaries go, and the drill is forgotten."""
        wrong = {f"canary {name}": why for name, why in flock.judge(drill, entries_of(desk, drill)).items()}
        if drill.reason:
            yield "ended early", "", drill.reason
        yield from phases(drill.stamps)
        yield from ((name, "", why or "is well on another host") for name, why in wrong.items())
        if drill.made:
            flock.clean(drill.canaries)
        args.reason = args.reason or "it is over, and its canaries are gone"
        self._accepted(desk, args, "end-drill", drill.host)
        self.code = REFUSED if drill.reason or any(wrong.values()) or "released" not in drill.stamps else OK


def phases(stamps: Mapping[str, str]) -> Iterator[tuple[str, float, str]]:
    """Those that were reached, in whole seconds."""
    for name, begun, ended, meaning in PHASES:
        if begun in stamps and ended in stamps:
            yield name, (time_of(stamps[ended]) - time_of(stamps[begun])).total_seconds(), meaning


def drill_of(desk: Desk, host: str) -> Drill | None:
    return desk.ledger.load().records.roster.drills.get(host)


def entries_of(desk: Desk, drill: Drill) -> Mapping[str, InstanceRecovery]:
    """What its recovery says of each instance, which may be open still."""
    records: list[HostRecovery] = [closed.record for closed in desk.ledger.read_history()]
    records += desk.ledger.load().records.hosts.values()
    return next((record.instances for record in records if drill.incident and record.incident == drill.incident), {})
