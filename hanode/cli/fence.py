"""`hanode fence`: would the power devices of the hosts obey, should one of them fail tonight?"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from hanode.cli.base import OK, REFUSED, Rows, open_desk
from hanode.cli.status import read_report
from hanode.conf import build
from hanode.core.facts import Power
from hanode.errors import HanodeError, Refused

if TYPE_CHECKING:
    from hanode.adapters.fencing.devices import Checked, Devices

COLUMNS = ("host", "level", "device", "power", "seconds", "result", "warning")
AT_ONCE = 8

Row = tuple[str, int, str, str, float, str, str]


class FenceCheck(Rows):
    """Read the power device of each host now: reachable, login, identity. Switches nothing.

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
        names = parsed_args.host or sorted({*config.hosts, *(_hosts_of_the_journal(parsed_args.config_file) if config.patterns else ())})
        if not names:
            raise Refused("no host has a power device; describe them in fencing.yaml")
        rows = list(_checked(Devices(config), names, settings.get("fencing", "proof_s")))
        self._failed = any(row[5] != "ok" for row in rows)
        return COLUMNS, rows


def _hosts_of_the_journal(files: list[str]) -> Iterable[str]:
    return read_report(open_desk(files)).hosts


def _checked(devices: Devices, hosts: Sequence[str], proof_s: float) -> Iterable[Row]:
    """Side by side: a thousand BMCs one after another would take an hour."""
    console = Console(stderr=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda host: _rows(devices, host, proof_s), hosts)
        shown: Iterable[list[Row]] = track(found, "asking", len(hosts), console=console, transient=True) if sys.stderr.isatty() else found
        for rows in shown:
            yield from rows


def _rows(devices: Devices, host: str, proof_s: float) -> list[Row]:
    try:
        checked = devices.check(host)
        by_hand = devices.plan(host).by_hand
    except HanodeError as error:
        return [(host, 0, "", "", 0.0, str(error), "")]
    # A proof that is older than proof_s when it arrives is none: nothing would ever be evacuated on it.
    level_s = {level: sum(one.took_s for one in checked if one.level == level) for level in {one.level for one in checked}}
    slow = {level: f"its level takes {took_s:.0f} s to read: raise [fencing] proof_s" for level, took_s in level_s.items()}
    rows = [_row(host, one, slow[one.level] if level_s[one.level] > proof_s / 2 else "") for one in checked]
    return rows or [(host, 0, "manual", "", 0.0, "ok", f"only a person can prove it off: {by_hand}")]


def _row(host: str, checked: Checked, slow: str) -> Row:
    power, result = "", str(checked.found)
    if isinstance(checked.found, Power):
        power, result = str(checked.found), "it says neither on nor off" if checked.found is Power.OTHER else "ok"
    warning = "; ".join(text for text in (checked.warning, slow) if text)
    return (host, checked.level, checked.device, power, round(checked.took_s, 2), result, warning)
