"""The operator's own programs: is a storage domain well, does an instance serve, may a silent nova-compute be started again?

Each is run without a shell, in a process group of its own that is killed with its children at the deadline, with `{domain}`,
`{host}` and `{ip}`, `{id}` and `{address}` replaced in its arguments. No text of a tenant's is ever among them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hanode.adapters.fencing.attempt import Attempt
from hanode.adapters.fencing.process import last_line, run
from hanode.errors import Ambiguous, ConfigError, Refused

CANNOT_TELL = 3
"""Exit code by which a program that looks says that it could not look, as Nagios plugins do."""


@dataclass(frozen=True)
class ProgramSettings:
    storage_health: Mapping[str, Sequence[str]] = field(default_factory=dict)  # domain -> program and its arguments
    storage_timeout_s: float = 10.0
    ready: Mapping[str, Sequence[str]] = field(default_factory=dict)  # rule of [priority] ready -> program and its arguments
    ready_timeout_s: float = 5.0
    restart_agent: Sequence[str] = ()
    restart_timeout_s: float = 30.0

    def problems(self) -> tuple[str, ...]:
        """Every program that cannot be run here, with the option that names it."""
        named = [(f"[storage] health of {domain}", words) for domain, words in sorted(self.storage_health.items())]
        named += [(f"[priority] ready of {rule}", words) for rule, words in sorted(self.ready.items())]
        named += [("[detection] restart_agent", self.restart_agent)] if self.restart_agent else []
        return tuple(
            f"{option} must begin with the full path of a program that hanode may execute, not {words[0] if words else 'nothing'!r}"
            for option, words in named
            if not words or not Path(words[0]).is_absolute() or not os.access(words[0], os.X_OK)
        )


class Programs:
    """Implements `ports.Programs`."""

    def __init__(self, settings: ProgramSettings) -> None:
        wrong = settings.problems()
        if wrong:
            raise ConfigError("; ".join(wrong))
        self._settings = settings

    def storage_is_well(self, domain: str) -> bool:
        """Exit code 0: well; 3: it could not look; any other: sick."""
        arguments = [word.replace("{domain}", domain) for word in self._settings.storage_health[domain]]
        return _told(arguments, self._settings.storage_timeout_s, f"whether {domain} is well")

    def is_ready(self, rule: str, instance_id: str, address: str) -> bool:
        """Exit code 0: ready; 3: it could not look; any other: not yet."""
        if rule not in self._settings.ready:
            raise Refused(f"[priority] ready has no program for {rule} here")
        arguments = [_filled(word, {"{id}": instance_id, "{address}": address}) for word in self._settings.ready[rule]]
        return _told(arguments, self._settings.ready_timeout_s, f"whether {instance_id} is ready")

    def restart_agent(self, host: str, host_ip: str, abort: Callable[[], bool]) -> None:
        """Exit code 0: started again; any other: refused."""
        words = {"{host}": host, "{ip}": host_ip}
        arguments = [_filled(word, words) for word in self._settings.restart_agent]
        done = _run(arguments, self._settings.restart_timeout_s, abort)
        if done.returncode != 0:
            raise Refused(f"{arguments[0]} ended with {done.returncode}: {last_line(done.stdout + done.stderr)}")


def _told(arguments: Sequence[str], timeout_s: float, what: str) -> bool:
    done = _run(arguments, timeout_s, _never)
    if done.returncode == CANNOT_TELL or done.returncode < 0:
        raise Ambiguous(f"{arguments[0]} cannot tell {what}: {last_line(done.stdout + done.stderr)}")
    return done.returncode == 0


def check_canary(words: Sequence[str], when: str, instance_id: str, name: str, timeout_s: float) -> None:
    """Is this canary of a drill well? Raises Refused with what the program said, or Ambiguous when it did not end in time."""
    arguments = [_filled(word, {"{when}": when, "{server}": instance_id, "{name}": name}) for word in words]
    done = _run(arguments, timeout_s, _never)
    if done.returncode != 0:
        raise Refused(f"{arguments[0]} {when} ended with {done.returncode}: {last_line(done.stdout + done.stderr)}")


def _run(arguments: Sequence[str], timeout_s: float, abort: Callable[[], bool]) -> subprocess.CompletedProcess[str]:
    attempt = Attempt(arguments[0], timeout_s, abort)
    attempt.sending()  # whatever ends it from here on, it may have done its work
    return run(arguments, attempt)


def _filled(word: str, words: Mapping[str, str]) -> str:
    for mark, text in words.items():
        word = word.replace(mark, text)
    return word


def _never() -> bool:
    return False
