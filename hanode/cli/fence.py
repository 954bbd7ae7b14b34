"""`hanode fence`: would the power devices of the hosts obey, should one of them fail tonight?"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from hanode.cli.asking import NamedHost
from hanode.cli.base import OK, REFUSED, Rows, open_desk
from hanode.cli.brake import duration_s
from hanode.cli.status import read_report
from hanode.conf import build
from hanode.core.readiness import fault_of
from hanode.core.records import Roster
from hanode.engine.report import Report
from hanode.errors import HanodeError, Refused

if TYPE_CHECKING:
    from hanode.adapters.fencing.devices import Devices
    from hanode.adapters.fencing.ironic import Door
    from hanode.core.facts import DeviceCheck

COLUMNS = ("host", "level", "device", "power", "identity", "seconds", "result", "warning")
AT_ONCE = 8

Row = tuple[str, int, str, str, str, float, str, str]


class FenceCheck(Rows):
    """Read the power device of each host now: reachable, login, identity; and ask each store of fencing.yaml. Switches nothing.

    Ends with 1 when some device cannot be read, so that a timer can watch them.
    """

    example = "  hanode fence check\n  hanode fence check compute7 compute8 -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("host", nargs="*", metavar="HOST", help="only these (default: every host of fencing.yaml, and of the "
                            "journal where a template has a pattern)")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        self._failed = False
        return super().run(parsed_args) or (REFUSED if self._failed else OK)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], list[Row]]:
        from hanode.adapters.fencing.devices import Devices
        from hanode.daemon import load_devices

        logging.basicConfig(format="hanode: %(message)s")  # what load_devices warns of
        settings = build.load(parsed_args.config_file)
        config = load_devices(settings)
        journal = self._journal(parsed_args.config_file)
        if journal is None and config.patterns and not parsed_args.host:
            raise Refused("a template has a pattern, and only the journal tells which hosts it fits: name them, or mend the journal")
        names = parsed_args.host or sorted({*config.hosts, *(journal.hosts if journal and config.patterns else ())})
        if not names and not config.stores.stores:
            raise Refused("no host has a power device; describe them in fencing.yaml")
        roster = journal.records.roster if journal else Roster()
        devices = Devices(config, _ironic_of(settings))
        rows = [*_checked(devices, names, settings.get("fencing", "proof_s"), roster), *_stores(devices, parsed_args.host)]
        self._failed = any(row[COLUMNS.index("result")] != "ok" for row in rows)
        return COLUMNS, rows

    @staticmethod
    def _journal(files: list[str]) -> Report | None:
        """What the leader knows of the hosts and their devices. A sick journal must not keep anybody from trying a device."""
        try:
            return read_report(open_desk(files))
        except HanodeError as error:
            print(f"hanode: identities are not compared with those of first contact: {error}", file=sys.stderr)
            return None


class FenceAdopt(NamedHost):
    """Believe a host's power device again, after you saw that it is the host's own and tells the truth.

    For a device whose identity has changed (a mainboard was replaced), or that read off while its host went on reporting. What
    it tells at its next check counts as its identity from then on.
    """

    example = "  hanode fence adopt compute7 --reason 'mainboard replaced, serial compared'"
    verb = "fence-adopt"


class FenceMute(NamedHost):
    """Raise no alarm for some time because a host's fencing would fail: for work on its BMC or on the management network.

    It goes on being checked, and is fenced as ever, or not, should it fail. Say it again to change the time.
    """

    example = "  hanode fence mute compute7 --for 2h --reason 'firmware of the BMC is being updated'"
    verb = "fence-mute"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--for", dest="for_s", metavar="TIME", type=duration_s, required=True, help="for so long: 90s, 30m, 2h or 1d")
        return parser


def _ironic_of(settings: build.Settings) -> Callable[[], Door]:
    """Keystone is asked only for who has a node of Ironic, and once for all of them."""
    from hanode.daemon import open_cloud

    return lru_cache(maxsize=1)(lambda: open_cloud(settings).baremetal())


def _checked(devices: Devices, hosts: Sequence[str], proof_s: float, roster: Roster) -> Iterable[Row]:
    """Side by side: a thousand BMCs one after another would take an hour."""
    console = Console(stderr=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda host: _rows(devices, host, proof_s, roster), hosts)
        shown: Iterable[list[Row]] = track(found, "asking", len(hosts), console=console, transient=True) if sys.stderr.isatty() else found
        for rows in shown:
            yield from rows


def _stores(devices: Devices, hosts: Sequence[str]) -> Iterable[Row]:
    """Every store that could cut hosts off, and who is cut off now; asked about the named hosts that it knows."""
    for domain, plan in devices.store_plans().items():
        known = [host for host in hosts if plan.knows(host)]
        for host in known or ([] if hosts else [""]):
            checked = devices.stores.check(domain, host)
            used = "" if plan.proof else "only checked: its cut is no proof (proof: none)"
            cut = f"cut off now: {', '.join(sorted(checked.cut))}" if checked.cut else ""
            warning = "; ".join(text for text in (used, cut) if text)
            yield (host or f"(storage {domain})", 0, f"store {domain}", "", "", round(checked.took_s, 2), checked.trouble or "ok", warning)


def _rows(devices: Devices, host: str, proof_s: float, roster: Roster) -> list[Row]:
    try:
        checked = devices.check(host)
        by_hand = devices.plan(host).by_hand
    except HanodeError as error:
        return [(host, 0, "", "", "", 0.0, str(error), "")]
    # A proof that is older than proof_s when it arrives is none: nothing would ever be evacuated on it.
    level_s = {level: sum(one.took_s for one in checked if one.level == level) for level in {one.level for one in checked}}
    slow = {level: f"its level takes {took_s:.0f} s to read: raise [fencing] proof_s" for level, took_s in level_s.items()}
    known = roster.identities.get(host, {})
    doubt = roster.quarantined.get(host, "")
    rows = [_row(host, one, _verdict(one, known, doubt), slow[one.level] if level_s[one.level] > proof_s / 2 else "") for one in checked]
    return rows or [(host, 0, "manual", "", "", 0.0, "ok", f"only a person can prove it off: {by_hand}")]


def _verdict(checked: DeviceCheck, known: Mapping[str, str], quarantined: str) -> str:
    first = known.get(checked.device, checked.identity)
    if checked.identity and first != checked.identity and not checked.configured:
        return f"it is another device than at first contact ({first}): look at it, then `hanode fence adopt HOST`"
    return fault_of(checked, known) or (f"not believed: {quarantined}" if quarantined else "ok")


def _row(host: str, checked: DeviceCheck, result: str, slow: str) -> Row:
    warning = "; ".join(text for text in (checked.warning, slow) if text)
    power = str(checked.power or "")
    return (host, checked.level, checked.device, power, checked.identity, round(checked.took_s, 2), result, warning)
