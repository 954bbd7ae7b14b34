"""`hanode capacity`, `hanode plan`, `hanode host ok-to-stop`: what if? From a fresh read of the cloud; nothing is written anywhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hanode.cli.base import OK, REFUSED, Act, Lines, Rows, open_desk
from hanode.conf import build
from hanode.core.capacity import SMALL, promises_something, racks_of, standing
from hanode.core.decisions import Closed
from hanode.core.findings import Finding
from hanode.core.place import Placed
from hanode.core.policy import Policy
from hanode.core.preview import preview
from hanode.core.records import Records
from hanode.core.remedy import assessed
from hanode.core.signals import few
from hanode.core.stock import Stock, asks_of, fail, moved
from hanode.engine.lasted import lasted_of
from hanode.engine.plain import one_line
from hanode.engine.stocktake import take_stock
from hanode.errors import Refused

AT_ONCE = 8


@dataclass(frozen=True)
class Paper:
    """The cloud and what hanode knows, read once."""

    stock: Stock
    policy: Policy
    records: Records
    history: tuple[Closed, ...]

    def known(self, hosts: Sequence[str]) -> frozenset[str]:
        unknown = sorted(set(hosts) - self.stock.hosts.keys())
        if unknown:
            raise Refused(f"Nova knows no compute host {few(unknown)}")
        return frozenset(hosts)

    def sharing(self, rack: str) -> frozenset[str]:
        racks = racks_of(self.stock.hosts, self.policy)
        found = {label: hosts for label, hosts in racks.items() if rack in {label, label.partition(" ")[2]}}
        if not found:
            known = ", ".join(racks) or "none is declared"
            raise Refused(f"no host shares {rack!r}; known are: {known} (aggregate metadata, [brake] failure_domain_keys)")
        return frozenset().union(*found.values())

    def in_domain(self, name: str) -> frozenset[str]:
        domains = {host: self.policy.domain_of(facts) for host, facts in self.stock.hosts.items()}
        found = frozenset(host for host, domain in domains.items() if domain and domain.name == name)
        if not found:
            known = ", ".join(sorted({domain.name for domain in domains.values() if domain})) or "none is declared"
            raise Refused(f"no host belongs to the storage domain {name!r}; known are: {known}")
        return found


def read_paper(files: list[str]) -> Paper:
    """Configuration, journal and cloud; raises what each of them raises."""
    from hanode.adapters.fencing.devices import Devices  # imports the OpenStack SDK, which the other commands need not wait for
    from hanode.daemon import open_cloud, read_devices

    desk = open_desk(files)
    devices = read_devices(desk.settings)
    policy = build.policy(desk.settings, Devices(devices).hosts(), devices.plans())
    records = desk.ledger.load().records
    with build.naming_files(desk.settings):
        cloud = open_cloud(desk.settings)
    stock = take_stock(cloud, policy, maintained=records.roster.maintenance, recovering=records.hosts, at_once=AT_ONCE)
    return Paper(stock, policy, records, desk.ledger.read_history())


class Capacity(Rows):
    """Say whether the cloud can lose hosts and still restart every protected instance, under all constraints.

    Without options, what [capacity] promises is checked; where that promises nothing, any one host and each rack. `how` says
    whether every such failure was planned, or a bound was proven that is never too optimistic. What is not proven counts as no.
    """

    example = "  hanode capacity\n  hanode capacity --failures 2 --racks\n  hanode capacity -f json | jq '.[] | select(.holds == false)'"
    exit_codes = ("Exit codes: 0 everything asked for holds; 1 something does not; 2 the configuration is wrong; "
                  "3 the cloud or the journal does not answer.")
    short = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--failures", metavar="K", type=int, choices=range(1, 11), help="any K hosts, whichever")
        parser.add_argument("--racks", action="store_true", help="each rack (value of [brake] failure_domain_keys)")
        parser.add_argument("--plan-all", action="store_true", help="plan every failure, however many there are, instead of a bound")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        code = super().run(parsed_args)
        return code or (REFUSED if self.short else OK)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        paper = read_paper(parsed_args.config_file)
        policy = asked(paper.policy, parsed_args.failures, parsed_args.racks)
        found = assessed(paper.stock, policy, sys.maxsize if parsed_args.plan_all else SMALL)
        self.short = any(not one.holds for one in found)
        columns = ("question", "holds", "how", "worst", "left", "fix")
        rows = [(one.question, one.holds, str(one.how), few(one.worst), Lines(_left(one)), one.fix) for one in found]
        return columns, rows


def asked(policy: Policy, failures: int | None, racks: bool) -> Policy:
    """What is asked on the command line, else what is promised, else the usual."""
    if failures or racks:
        policy = replace(policy, capacity_free_percent=0.0, capacity_dedicated=frozenset())
        return replace(policy, capacity_failures=failures or 0, capacity_racks=racks)
    return policy if promises_something(policy) else replace(policy, capacity_failures=1, capacity_racks=True)


def _left(finding: Finding) -> list[str]:
    more = finding.left_count - len(finding.left)
    return [*finding.left, *([f"and {more} more"] if more else [])]


class HostOkToStop(Act):
    """Exit with 0 if these hosts may be switched off now: everything on them finds a place, and the rest still keeps the promise.

    The promise is [capacity]; where that promises nothing, only the first half is asked. To empty them: `hanode host maintenance`.
    """

    example = "  hanode host ok-to-stop compute7 && hanode host maintenance compute7 --for 45m --reason memory"
    exit_codes = "Exit codes: 0 yes; 1 no; 2 the command or the configuration is wrong; 3 the cloud or the journal does not answer."

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("hosts", metavar="HOST", nargs="+")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        paper = read_paper(parsed_args.config_file)
        lines = reasons_to_stay(paper.stock, paper.known(parsed_args.hosts), paper.policy)
        print("\n".join(map(one_line, lines)) or f"yes: {few(sorted(set(parsed_args.hosts)))} may be stopped", file=self.app.stdout)
        return REFUSED if lines else OK


def reasons_to_stay(stock: Stock, hosts: frozenset[str], policy: Policy) -> list[str]:
    """Why these hosts must not be stopped now; empty: they may."""
    # Also what hanode would not evacuate: who stops a host has to move everything; and planned work uses no spares.
    outcome = fail(replace(stock, spares=frozenset()), hosts, {name: asks_of(stock, name, policy) for name in sorted(hosts)})
    if outcome.unplaced:
        return [f"no: {ask.instance.name} on {ask.source.name} has no other place: {refused.reason}" for ask, refused in outcome.unplaced]
    places = {key: place for key, place in outcome.places.items() if isinstance(place, Placed)}
    asks = {ask.instance.instance_id: ask for ask in outcome.asks}
    rest = moved(stock, {key: (asks[key], place.target) for key, place in places.items()}, hosts)
    broken = [one for one in standing(rest, policy) if not one.holds]
    gone = few(sorted(hosts))
    return [f"no: without {gone} this does not hold any more: {one.question} ({one.how}): {'; '.join(one.left)}" for one in broken]


class Plan(Rows):
    """Show what would happen if these hosts failed now: gates, fence devices, each instance's place or refusal, in order and time.

    The durations are the medians of what the journal's history has measured.
    """

    example = "  hanode plan compute7\n  hanode plan --rack r12 -f csv\n  hanode plan --domain ceph1"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("hosts", metavar="HOST", nargs="*")
        parser.add_argument("--rack", metavar="NAME", help="every host that shares this (a value of [brake] failure_domain_keys)")
        parser.add_argument("--domain", metavar="NAME", help="every host of this storage domain")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        given = [bool(parsed_args.hosts), bool(parsed_args.rack), bool(parsed_args.domain)]
        if sum(given) != 1:
            raise Refused("name hosts, or --rack NAME, or --domain NAME: one of them")
        paper = read_paper(parsed_args.config_file)
        dead = paper.known(parsed_args.hosts)
        dead = paper.sharing(parsed_args.rack) if parsed_args.rack else dead
        dead = paper.in_domain(parsed_args.domain) if parsed_args.domain else dead
        lines = preview(paper.stock, dead, paper.records, paper.policy, lasted_of(paper.history))
        rows = [(line.step, line.subject, line.what, "" if line.at_s is None else round(line.at_s)) for line in lines]
        return ("step", "about", "what", "after_s"), rows


