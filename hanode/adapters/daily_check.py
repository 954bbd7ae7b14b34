"""Is everything still as it must be? `hanode config check` by the leader itself: once a day, and when Nova was upgraded.

It runs as a process of its own, at the lowest priority: it reads thousands of rows, and no tick must wait for the
interpreter meanwhile. Nothing is started while an incident is open; nothing is decided by what it finds.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hanode import metrics
from hanode.core.decisions import Level
from hanode.core.news import Event, News, Phase
from hanode.errors import Ambiguous, HanodeError, Refused
from hanode.ports import Notifier

LOG = logging.getLogger(__name__)

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Rhythm:
    first_s: float = 600.0  # after taking office: who takes over has better things to do
    every_s: float = 86400.0
    version_s: float = 3600.0  # so often Nova is asked for its version
    limit_s: float = 900.0  # a check that lasts longer is killed


class DailyCheck:
    """`tick` is called by the tick loop and never waits; looking is done in a thread."""

    def __init__(self, files: Sequence[str], nova_version: Callable[[], str], notifier: Notifier, rhythm: Rhythm | None = None) -> None:
        self._files, self._nova_version, self._notifier, self._rhythm = files, nova_version, notifier, rhythm or Rhythm()
        self._thread: threading.Thread | None = None
        self._leads = False
        self._next_check_s = self._next_version_s = 0.0
        self._version = ""
        self._found: Mapping[str, Mapping[str, Any]] = {}
        self._process: subprocess.Popen[str] | None = None

    def tick(self, leads: bool, is_busy: bool, now_s: float | None = None) -> None:
        """`is_busy`: an incident is open, so that nothing is begun now."""
        now_s = time.monotonic() if now_s is None else now_s
        if leads != self._leads:
            self._leads, self._found = leads, {}
            self._next_check_s, self._next_version_s = now_s + self._rhythm.first_s, now_s + self._rhythm.version_s
            metrics.findings_are({})
            metrics.credentials_end({})
        if not leads or is_busy or (self._thread is not None and self._thread.is_alive()):
            return
        if now_s < min(self._next_check_s, self._next_version_s):
            return
        is_due = now_s >= self._next_check_s
        self._next_version_s = now_s + self._rhythm.version_s
        if is_due:
            self._next_check_s = now_s + self._rhythm.every_s
        self._thread = threading.Thread(target=self._look, args=(is_due,), name="daily-check", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End a check that runs."""
        self._leads = False
        self._kill()

    def _look(self, is_due: bool) -> None:
        try:
            version = self._nova_version()
            if self._leads and (is_due or version != self._version):
                if self._version and version != self._version:
                    LOG.info("check: Nova offers microversion %s now, %s before: looking at everything anew", version, self._version)
                self._tell({str(row["what"]): row for row in self._rows_of("check")})
                self._show(self._rows_of("expiry"))
            self._version = version
        except HanodeError as error:
            LOG.warning("check: could not look at the configuration by itself, trying again later: %s", error)

    def _rows_of(self, what: str) -> Sequence[Mapping[str, Any]]:
        """What `hanode config WHAT` lists."""
        files = [word for file in self._files for word in ("--config-file", file)]
        command = ["nice", "-n", "19", sys.executable, "-m", "hanode", "config", what, "-f", "json", *files]
        try:
            # The environment goes along, as systemd hands secrets over by it; the arguments hold none.
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       start_new_session=True)
        except OSError as error:
            raise Refused(f"cannot be started: {error.strerror}") from error
        self._process = process
        with process:
            return self._rows(process)

    def _rows(self, process: subprocess.Popen[str]) -> Sequence[Mapping[str, Any]]:
        try:
            shown, said = process.communicate(timeout=self._rhythm.limit_s)
            return [{**row, "what": row["what"]} for row in json.loads(shown)]
        except subprocess.TimeoutExpired as error:
            raise Ambiguous(f"no end within {self._rhythm.limit_s:g} s") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Ambiguous(f"ended with {process.returncode}: {said.strip()[-300:]}") from error
        finally:
            self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its own session: its group is its pid, and it is not reaped yet

    def _tell(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        if not self._leads:
            return  # office was lost meanwhile: the next leader looks by itself
        metrics.findings_are({severity: sum(row["severity"] == severity for row in found.values()) for severity in SEVERITIES})
        for what, row in found.items():
            if what not in self._found and row["severity"] != "info":
                LOG.warning("check: %s: %s: %s; %s", row["severity"], what, row["why"], row["remedy"])
        for what in sorted(_errors(found) - _errors(self._found)):
            self._notify(Phase.BEGINS, Level.ALARM, what, f"check: {what}: {found[what]['why']}; {found[what]['remedy']}")
        for what in sorted(_errors(self._found) - _errors(found)):
            self._notify(Phase.ENDS, Level.INFO, what, f"check: not found any more: {what}")
        self._found = found
        LOG.info("check: %d findings, %d of them errors; `hanode config check` shows them", len(found), len(_errors(found)))

    def _show(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Of each kind what runs out first; what never does, or cannot be read, has no number."""
        ends: dict[str, float] = {}
        for row in rows:
            if row.get("expires"):
                at_s = datetime.fromisoformat(row["expires"]).timestamp()
                ends[row["what"]] = min(at_s, ends.get(row["what"], at_s))
        if self._leads:
            metrics.credentials_end(ends)

    def _notify(self, phase: Phase, level: Level, what: str, text: str) -> None:
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._notifier.tell(News(Event.CHECK, phase, f"check/{what}", level, text, at))


def _errors(found: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {what for what, row in found.items() if row["severity"] == "error"}
