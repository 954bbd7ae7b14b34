"""`hanode host maintenance`: somebody wants to work on a host, or on a rack of them."""

from __future__ import annotations

import argparse

from hanode.cli.asking import Word, named_hosts
from hanode.cli.base import OK, REFUSED
from hanode.cli.brake import duration_s
from hanode.errors import Refused


class HostMaintenance(Word):
    """Make way for work on a host: nothing new is placed on it, and Nova moves its instances away by its own migrations.

    Until the host is empty it is protected like any other; when it is (`hanode status` says so), it may be switched off. It is taken
    back when it went and came back, or with --end. Nothing ends it silently: when its time is over there is an alarm. Saying it
    again changes the time, and lets failed migrations be tried anew. With --no-drain the instances stay on it; while the work lasts
    it is not fenced and nothing of it is restarted elsewhere, and what ran before is started when it is back.
    """

    example = ("  hanode host maintenance compute7 --for 45m --reason 'memory is replaced'\n"
               "  hanode host maintenance --rack r12 --for 4h --reason 'new switches'\n"
               "  hanode host maintenance compute7 --no-drain --for 15m --reason 'kernel update'\n"
               "  hanode host maintenance compute7 --end --reason 'not needed after all'")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("hosts", metavar="HOST", nargs="*")
        parser.add_argument("--rack", metavar="NAME", help="every host that shares this (a value of [brake] failure_domain_keys)")
        parser.add_argument("--for", dest="for_s", metavar="TIME", type=duration_s, help="for so long: 45m, 4h or 1d")
        parser.add_argument("--no-drain", action="store_true", help="leave its instances on it")
        parser.add_argument("--end", action="store_true", help="the work is done, or is not needed")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if bool(parsed_args.hosts) == bool(parsed_args.rack):
            raise Refused("name the hosts, or --rack NAME, and not both")
        if parsed_args.end == bool(parsed_args.for_s):
            raise Refused("say for how long, with --for 45m; or --end")
        desk = self.desk(parsed_args)
        hosts = named_hosts(self.led_report(desk), parsed_args.hosts, parsed_args.rack or "")
        self.ask_reason(parsed_args)
        verb = "end-maintenance" if parsed_args.end else "maintenance"
        # All of them before the first answer: none shall be the target of another's instances.
        given = [self.give(desk, parsed_args, verb, host, for_s=parsed_args.for_s or 0.0, drain=not parsed_args.no_drain) for host in hosts]
        answers = [self.hear(desk, command, f"{command.host}: ") for command in given]
        return OK if all(answer == OK for answer in answers) else REFUSED
