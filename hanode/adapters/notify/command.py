"""How is a program of the operator's told? The JSON on its standard input, nothing on its command line but what he wrote there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hanode.adapters.fencing.attempt import Attempt
from hanode.adapters.fencing.process import last_line, run
from hanode.adapters.notify.message import Sender, body_of
from hanode.core.news import News
from hanode.errors import Ambiguous, ConfigError


@dataclass(frozen=True)
class CommandSettings:
    arguments: Sequence[str]
    timeout_s: float = 5.0


class Command:
    """In a process group of its own; killed with its children at the deadline. Exit code 0: delivered; any other: try again."""

    name = "command"

    def __init__(self, settings: CommandSettings, sender: Sender) -> None:
        program = Path(settings.arguments[0])
        if not program.is_absolute() or not os.access(program, os.X_OK):
            raise ConfigError(f"[notifications] command must begin with the full path of a program that hanode may execute, not {program}")
        self._settings, self._sender = settings, sender

    def deliver(self, news: News, ended: Callable[[], bool]) -> None:
        program = self._settings.arguments[0]
        attempt = Attempt(program, self._settings.timeout_s, ended)
        # Delivered perhaps, from here on: what is killed at the deadline may have told already.
        attempt.sending()
        done = run(self._settings.arguments, attempt, told=body_of(news, self._sender).decode() + "\n")
        if done.returncode != 0:
            raise Ambiguous(f"{program} ended with {done.returncode}: {last_line(done.stderr or done.stdout)}")
