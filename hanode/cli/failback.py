"""`hanode host failback`: what was moved away from a host when it failed is moved back."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from hanode.cli.asking import Word, known_host
from hanode.cli.base import OK
from hanode.cli.capacity import Paper, read_paper
from hanode.core import accounts
from hanode.core.facts import Instance
from hanode.core.place import Refused as NoPlace
from hanode.core.place import place
from hanode.core.records import Failback, Guest
from hanode.core.room import Ask, Room
from hanode.engine.plain import one_line
from hanode.errors import Refused


class HostFailback(Word):
    """Move back what was moved away from a host when it failed: live, one at a time from each host, never against a rule of placing.

    What was moved since by somebody else stays where it is, and so does what does not fit. Offered when a host is taken back, if
    [maintenance] failback says so. Given again while it goes on, what could not be moved is tried once more.
    """

    example = ("  hanode host failback compute7 --dry-run\n"
               "  hanode host failback compute7 --reason 'memory replaced, has run for a day'\n"
               "  hanode host failback compute7 --end --reason 'not during business hours'")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--dry-run", action="store_true", help="only say what would become of each instance, as the cloud is now")
        how.add_argument("--end", action="store_true", help="nothing more is moved back; what is under way arrives")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if parsed_args.dry_run:
            paper = read_paper(parsed_args.config_file)
            print("\n".join(map(one_line, what_would_move(paper, parsed_args.host))), file=self.app.stdout)
            return OK
        desk = self.desk(parsed_args)
        known_host(self.led_report(desk), parsed_args.host)
        self.ask_reason(parsed_args)
        return self.say(desk, parsed_args, "end-failback" if parsed_args.end else "failback", parsed_args.host)


def what_would_move(paper: Paper, host: str) -> Iterator[str]:
    """One line for each instance that its incident has moved away."""
    paper.known([host])
    back = paper.records.roster.failbacks.get(host)
    if back is None:
        raise Refused(f"nothing that was moved away from {host} is remembered ([maintenance] failback is {paper.policy.failback})")
    here = {server.instance_id: (name, server) for name, servers in paper.stock.servers.items() for server in servers}
    room = Room({name: dict(free) for name, free in sorted(paper.stock.room.items())}, ground=paper.stock.ground)
    for key, guest in sorted(back.guests.items(), key=lambda item: (item[1].name, item[0])):
        at, server = here.get(key, ("", None))
        yield f"{guest.name}: {guest.end or _what_becomes(paper, back, guest, at, server, room)}"


def _what_becomes(paper: Paper, back: Failback, guest: Guest, at: str, server: Instance | None, room: Room) -> str:
    stock, policy = paper.stock, paper.policy
    if server is None:
        return "is not shown by Nova on any host that was read"
    if at == back.host:
        return "is at home already"
    if at != guest.at:
        return f"is on {at}: it was moved since, and stays there"
    source = stock.hosts[at]
    domain = policy.domain_of(source)
    held = stock.held.get(at, {})
    entry = accounts.account(server, domain.name if domain else "", held, policy, stock.skip_images)
    if entry is None:
        return f"is in vm_state {server.vm_state}: it stays on {at}"
    ask = Ask(server, entry, source, domain, policy)
    home = tuple(target for target in stock.targets(frozenset()) if target.name == back.host)
    found = place(ask, home, room)
    if isinstance(found, NoPlace):
        return f"stays on {at}: {found.reason}"
    room.take(ask, found.target)
    return f"from {at} to {back.host}"
