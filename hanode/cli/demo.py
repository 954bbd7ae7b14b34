"""`hanode demo`: see a host fail and its instances come back, without a cloud."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cliff.command import Command

from hanode.cli.base import open_desk
from hanode.errors import HanodeError


class Demo(Command):
    """Show a host failure and its recovery in a simulated cloud; touches nothing outside.

    Starts an embedded cloud, an etcd and three daemons on loopback, powers one host off, kills the leader with -9 in the
    middle of the recovery, and reports. Exit code 0 only if every instance came back, none twice.
    """

    _epilog = "Example:\n  hanode demo\n  hanode demo -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help="json: one object on stdout, nothing else")
        parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="keep configuration and logs there")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from hanode.sim import demo

        return demo.main(published_of, parsed_args.format == "json", parsed_args.keep)


def published_of(conf_file: Path) -> Callable[[], Mapping[str, Any] | None]:
    """What the leader publishes in the journal of this configuration; None while that cannot be read."""

    def read() -> Mapping[str, Any] | None:
        try:
            return open_desk([str(conf_file)]).ledger.read_status()
        except HanodeError:
            return None  # nobody has written a journal yet, or a member of etcd is changing its leader

    return read
