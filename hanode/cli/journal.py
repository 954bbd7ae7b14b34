"""`hanode journal`: carry the records to another journal, or keep a copy."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from hanode.cli.base import OK, Act, raw_journal
from hanode.conf import build
from hanode.engine.carry import exported, imported
from hanode.errors import Refused


class JournalExport(Act):
    """Write all records of the journal (incidents, history, roster) to a file, or to stdout with -.

    To move to another journal, stop every daemon first: what is decided after the export is not in it.
    """

    example = "  hanode journal export /root/hanode-journal.json\n  hanode journal export - | jq .entries"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", help="- for stdout; an existing file is not overwritten")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        text = exported(raw_journal(build.load(parsed_args.config_file)), _now())
        if parsed_args.file == "-":
            print(text, end="", file=self.app.stdout)
            return OK
        try:
            # It names hosts, instances and operators: not for everybody.
            opened = os.open(parsed_args.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Refused(f"cannot write {parsed_args.file}: {error.strerror}") from error
        return OK


class JournalImport(Act):
    """Write exported records into the journal that the configuration names. Only into an empty one; stop every daemon first.

    Office, status and commands are not carried over. The records are as old as the export: whoever leads next compares them with
    Nova before it does anything.
    """

    example = "  hanode journal import /root/hanode-journal.json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", help="- for stdin")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        settings = build.load(parsed_args.config_file)
        _check_owner(settings)
        count = imported(raw_journal(settings, may_make=True), self._text(parsed_args.file), _now())
        print(f"{count} keys were imported; start hanode now", file=self.app.stdout)
        return OK

    def _text(self, file: str) -> str:
        try:
            return str(self.app.stdin.read()) if file == "-" else Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"cannot read {file}: {error}") from error


def _check_owner(settings: build.Settings) -> None:
    """A sqlite file that root makes could not be written by the daemon."""
    from hanode.adapters.journal import sqlite_path

    url = settings.get("journal", "url")
    if not url.startswith("sqlite:"):
        return
    home = sqlite_path(url).parent
    if home.exists() and home.stat().st_uid != os.geteuid():
        raise Refused(f"{home} belongs to {home.owner()}: type this as that user (sudo -u {home.owner()} hanode journal import ...)")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
