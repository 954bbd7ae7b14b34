"""`hanode incident replay`: what would another policy have decided in an incident that is behind us?"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from hanode.cli.asking import find_record
from hanode.cli.base import Desk, Table
from hanode.conf import build
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery
from hanode.errors import Refused

COLUMNS = ("about", "decision", "real_s", "then_s", "now_s", "change", "why")


class IncidentReplay(Table):
    """Play an incident again, in a simulated cloud, under the policy of that time and under that of FILE, and show what differs.

    FILE is an ordinary hanode.conf; only what judges is read of it. Times are seconds after the last heartbeat: real_s by the record,
    then_s in the model under the policy of that time, now_s under that of FILE. Where real_s and then_s are far apart, the model
    does not fit that night. Nothing outside is touched.
    """

    example = ("  hanode incident replay compute7-20260309T031500Z --policy /root/hanode-new.conf\n"
               "  hanode incident replay compute7-20260309T031500Z --policy /etc/hanode/hanode.conf --all -f json")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("incident", metavar="INCIDENT", help="its id, or the host of an open one")
        parser.add_argument("--policy", metavar="FILE", required=True, help="the hanode.conf whose decisions are wanted")
        parser.add_argument("--all", action="store_true", help="also what both policies decide alike")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        record = _record(self.desk(parsed_args), parsed_args.incident)
        kept = record.circumstances
        if kept is None:
            raise Refused(f"of {record.incident} no circumstances were kept: it ended before anybody was to be fenced, or an older hanode"
                          " wrote it")
        policy = _policy(parsed_args.policy, kept.policy)
        # Only here: few other commands need the simulator.
        replay = importlib.import_module("hanode.sim.replay")
        then, now = (replay.replay(record, kept, one) for one in (kept.policy, policy))
        found = replay.compare(replay.as_it_was(record), then, now)
        shown = [one for one in found if one.change or parsed_args.all]
        for warning in _warnings(record, len(found), len(shown)):
            print(warning, file=self.app.stderr)
        return COLUMNS, [(one.about, one.what, one.real_s, one.then_s, one.now_s, one.change, one.why) for one in shown]


def _record(desk: Desk, name: str) -> HostRecovery:
    closed = next((closed for closed in desk.ledger.read_history() if closed.record.incident == name), None)
    return closed.record if closed else find_record(desk, name)


def _policy(file: str, then: Policy) -> Policy:
    """Devices are of the hosts, not of the policy: they stay as they were."""
    settings = build.load([file])
    return build.policy(settings, then.fenceable, then.fence_plans)


def _warnings(record: HostRecovery, found: int, shown: int) -> list[str]:
    kept = record.circumstances
    assert kept is not None
    said = [f"{found} decisions, {shown} of them differ"]
    if not kept.room_known:
        said.append("the room of the hosts was not read at that time: in the model everything fits")
    if kept.left_out:
        said.append(f"{kept.left_out} hosts and instances were too many to be kept: in the model they are missing")
    return said
