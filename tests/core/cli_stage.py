"""Who plays in the tests of the command line? A terminal with a person or a script at it, and a leader that answers.

The leader writes the journal (a sqlite file) through the same Ledger as the daemon, and answers commands from a thread of its own.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.cli.main import main
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Answer, Command
from hanode.core.records import Before, HostRecovery, InstanceRecovery
from hanode.engine.codec import Epoch, Renewal
from hanode.engine.ledger import Guard, Ledger


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


NOW = now()  # when these tests were collected; what a test needs as fresh is stamped when it runs
LONG_AGO = "2020-01-01T00:00:00Z"
LIMIT_S = 60.0

DEAD = HostRecovery(
    host="compute7", incident="compute7-1", state=HostState.NEEDS_OPERATOR, reason="its power device does not answer",
    opened_at=NOW, cause="no sign of life for 61 s",
    instances={"i-1": InstanceRecovery("i-1", "web", InstanceState.PENDING, "", Before("active", "running", False))},
)


def told(**hosts: dict[str, Any]) -> dict[str, Any]:
    """A status as a leader publishes it."""
    known = {"compute1": {"verdict": "HEALTHY", "reason": "beats", "state": "WATCHED"}, **hosts}
    return {"mode": "act", "holds": [], "hosts": known, "exempt": {}, "needs_operator": [], "updated_at": NOW}


WAITS = {"verdict": "FAILED", "reason": "no sign of life for 61 s", "state": "NEEDS_OPERATOR", "incident": "compute7-1",
         "evidence": {"heartbeat": "silent for 61 s", "power": "unknown: no answer from 192.0.2.7"}}


@dataclass
class Leader:
    ledger: Ledger
    guard: Guard | None = None
    heard: list[Command] = field(default_factory=list)

    def leads(self, status: dict[str, Any], *records: HostRecovery, renewed_at: str = NOW) -> None:
        status, renewed_at = {**status, "updated_at": now()}, now() if renewed_at == NOW else renewed_at
        seen = self.ledger.read_standing()
        renewal = Renewal(1, "me", 0, renewed_at, 15.0)
        self.guard = self.ledger.take_office(seen, Epoch(1, "me", "controller1", NOW), renewal)
        assert self.guard is not None
        self.ledger.load()
        self.ledger.commit(self.guard, writes=records, status=status)

    def answer(self, judge: Callable[[Command], tuple[bool, str]], stopped: threading.Event) -> None:
        while not stopped.wait(0.01):
            for command in self.ledger.load().commands:
                self.heard.append(command)
                assert self.guard is not None
                self.ledger.commit(self.guard, answers=[Answer(command, *judge(command))])


@dataclass
class Terminal:
    """Runs one command as a person, or a script, would."""

    config: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, line: str, *more: str, typed: str | None = None) -> tuple[int, str, str]:
        stdout, keyboard = io.StringIO(), Keyboard(typed)
        try:
            code = main([*line.split(), *more, "--config-file", str(self.config)], stdin=keyboard, stdout=stdout)
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = self.capture.readouterr()
        return code, stdout.getvalue() + printed.out, printed.err


class Keyboard(io.StringIO):
    def __init__(self, typed: str | None) -> None:
        super().__init__(typed or "")
        self._is_person = typed is not None

    def isatty(self) -> bool:
        return self._is_person


@pytest.fixture
def hanode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    config = tmp_path / "hanode.conf"
    config.write_text(f"[journal]\nurl = sqlite://{tmp_path / 'journal.db'}\n")
    return Terminal(config, capsys)


@pytest.fixture
def leader(tmp_path: Path) -> Leader:
    return Leader(Ledger(SqliteJournal(tmp_path / "journal.db", "default"), "http://keystone/v3 one"))


@pytest.fixture
def answering(leader: Leader) -> Iterator[Callable[[bool, str], None]]:
    stopped, threads = threading.Event(), []

    def start(accepted: bool, text: str) -> None:
        threads.append(threading.Thread(target=leader.answer, args=(lambda _: (accepted, text), stopped)))
        threads[-1].start()

    yield start
    stopped.set()
    for thread in threads:
        thread.join(LIMIT_S)
