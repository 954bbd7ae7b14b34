"""What do all commands share? The configuration file, the journal, and exit codes that a script can trust.

0: done. 1: refused, or not done. 2: the command or the configuration is wrong. 3: the journal cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from cliff.columns import FormattableColumn
from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne
from stevedore.extension import Extension, ExtensionManager

from hanode.conf import build
from hanode.engine.codec import META, Meta, from_entry
from hanode.engine.ledger import Ledger
from hanode.engine.plain import csv_cell, deep, one_line
from hanode.errors import Ambiguous, ConfigError, HanodeError, Unreachable
from hanode.ports import Journal

OK, REFUSED, MISUSED, NO_JOURNAL = 0, 1, 2, 3
EXIT_CODES = ("Exit codes: 0 done; 1 refused, or not done; 2 the command or the configuration is wrong; "
              "3 the journal (or the cloud) does not answer.")


@dataclass(frozen=True)
class Desk:
    """What an operator's command works with."""

    settings: build.Settings
    cloud: str  # identity of the cloud that the journal is about
    ledger: Ledger


def open_desk(files: list[str]) -> Desk:
    """Read the configuration and open its journal, without asking anything but these two."""
    settings = build.load(files)
    journal = raw_journal(settings)
    cloud = _cloud_of(journal)
    return Desk(settings, cloud, Ledger(journal, cloud))


def raw_journal(settings: build.Settings, may_make: bool = False) -> Journal:
    from hanode.adapters.etcd_client import Access
    from hanode.adapters.journal import open_journal, sqlite_path

    url = settings.get("journal", "url")
    # Opening would create the file, for root instead of for the daemon's user.
    if url.startswith("sqlite:") and not may_make and not sqlite_path(url).exists():
        raise Unreachable(f"there is no journal {sqlite_path(url)} yet: it is made when `hanode run` starts for the first time")
    with build.naming_files(settings):
        return open_journal(url, settings.cluster_id, Access(**build.journal(settings)))


def _cloud_of(journal: Journal) -> str:
    """Whatever cloud the journal is about: an operator speaks to the leader of this journal, and needs no OpenStack login."""
    entry = next((e for e in journal.read(META) if e.key == META), None)
    if entry is None:
        raise Unreachable("this journal is empty: no leader has ever used it. Is hanode running, with this [journal] url and "
                          "this cluster_id?")
    return from_entry(Meta, entry).identity


class Quiet:
    """Mixed into cliff's commands: the common option, an example below the help, and errors as one line with an exit code."""

    example = ""
    exit_codes = EXIT_CODES

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)  # type: ignore[misc]  # cliff's, by the other base
        parser.formatter_class = argparse.RawDescriptionHelpFormatter  # examples keep their lines
        parser.add_argument("--config-file", action="append", metavar="FILE", default=None,
                            help=f"configuration file (default {build.DEFAULT_FILE}); may be given several times")
        return parser

    def get_epilog(self) -> str:
        return f"{self.exit_codes}\n\nExample:\n{self.example}" if self.example else self.exit_codes

    def run(self, parsed_args: argparse.Namespace) -> int:
        parsed_args.config_file = parsed_args.config_file or [build.DEFAULT_FILE]
        try:
            return int(super().run(parsed_args))  # type: ignore[misc]  # cliff's, by the other base
        except ConfigError as error:
            return complain(error, MISUSED)
        except (Unreachable, Ambiguous) as error:
            return complain(error, NO_JOURNAL)
        except HanodeError as error:
            return complain(error, REFUSED)

    def desk(self, parsed_args: argparse.Namespace) -> Desk:
        return open_desk(parsed_args.config_file)


class Act(Quiet, Command):
    """A command that does something and says what came of it."""


class Far(Quiet):
    """Mixed into the commands that only read: they can ask the web port of any daemon instead of the journal."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--endpoint", metavar="URL", help="ask the web port of a daemon, e.g. https://noc@controller1:9732, not "
                            "the journal; no configuration file is needed then")
        parser.add_argument("--endpoint-password-file", metavar="FILE", default="", help="password of the user that URL names")
        parser.add_argument("--endpoint-ca-file", metavar="FILE", default="", help="CA certificate by which URL is trusted")
        return parser

    def desk(self, parsed_args: argparse.Namespace) -> Desk:
        if not parsed_args.endpoint:
            return super().desk(parsed_args)
        from hanode.adapters.journal.web import Endpoint, WebJournal

        journal = WebJournal(Endpoint(parsed_args.endpoint, parsed_args.endpoint_password_file, parsed_args.endpoint_ca_file))
        cloud = _cloud_of(journal)
        return Desk(build.load([]), cloud, Ledger(journal, cloud))


class Rows(Quiet, Lister):
    """A command that lists things."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Iterable[Any]]) -> int:
        clean = cleaner(parsed_args.formatter)
        return int(super().produce_output(parsed_args, column_names, [[clean(cell) for cell in row] for row in data]))


class Table(Far, Rows):
    """A command that lists what a daemon knows."""


class Card(Far, ShowOne):
    """A command that shows one thing."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Any]) -> int:
        return int(super().produce_output(parsed_args, column_names, list(map(cleaner(parsed_args.formatter), data))))


def cleaner(formatter: str) -> Callable[[Any], Any]:
    """What a tenant or an operator wrote must not command a terminal or a spreadsheet; json and yaml quote for themselves."""
    if formatter in {"json", "yaml"}:
        return lambda value: value
    clean = csv_cell if formatter == "csv" else one_line

    def cell(value: Any) -> Any:
        if isinstance(value, FormattableColumn):
            return type(value)(deep(value.machine_readable(), clean))
        return clean(value) if isinstance(value, str) else value

    return cell


def add_formatter(manager: ExtensionManager[Any], name: str, formatter: type[Any]) -> ExtensionManager[Any]:
    """A further -f NAME."""
    entry = EntryPoint(name, f"{formatter.__module__}:{formatter.__name__}", "hanode")
    manager.extensions.append(Extension(name, entry, formatter, formatter()))
    return manager


class Lines(FormattableColumn[list[str]]):
    """Several lines for people, a list for programs."""

    def human_readable(self) -> str:
        return "\n".join(self._value)


class Pairs(FormattableColumn[Mapping[str, Any]]):
    """key: value lines for people, an object for programs."""

    def human_readable(self) -> str:
        return "\n".join(f"{key}: {value}" for key, value in self._value.items())


def complain(error: object, code: int) -> int:
    print(f"hanode: {one_line(str(error))}", file=sys.stderr)
    return code

