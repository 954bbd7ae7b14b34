"""How is a power device spoken to through a program of the operator's? By the protocol that this page defines.

The program is called with `off`, `on` or `status` in place of {action}, and with the password, if one is configured, as the
only line of its standard input. How it ends is its answer:
    0  accepted; after `status` the last line that it printed is the state: exactly `on`, exactly `off`, or anything else
    3  refused: nothing happened, and repeating it is pointless
    4  the device could not be reached: nothing happened
    5  the device refused the login: nothing happened
Anything else, as an end by a signal, means that nobody knows what happened.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

from hanode.adapters.fencing import process
from hanode.adapters.fencing.attempt import Attempt, LoginRefused
from hanode.adapters.fencing.settings import CommandSettings
from hanode.core.facts import Power
from hanode.errors import HanodeError, Refused, Unreachable

ENDS: Mapping[int, Callable[[str], HanodeError]] = {3: Refused, 4: Unreachable, 5: LoginRefused}
STATES: Mapping[str, Power] = {"on": Power.ON, "off": Power.OFF}


class Command:
    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self._secret = settings.secret.read() if settings.secret else ""

    def switch(self, power: Power, attempt: Attempt) -> None:
        attempt.sending()
        self._run(power.value, attempt)

    def read(self, attempt: Attempt) -> Power:
        lines = self._run("status", attempt).stdout.splitlines()
        return STATES.get(lines[-1].strip(), Power.OTHER) if lines else Power.OTHER

    def look(self, attempt: Attempt) -> tuple[Power, str]:
        return self.read(attempt), ""

    def _run(self, action: str, attempt: Attempt) -> subprocess.CompletedProcess[str]:
        arguments = [word.replace("{action}", action) for word in self._settings.argv]
        return process.run_well(arguments, attempt, ENDS, self._secret)
