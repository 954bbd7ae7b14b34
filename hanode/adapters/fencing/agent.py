"""How is a power device spoken to through a program of fence-agents? By its standard input, one process per command.

What is built on: `status` ends with 0 for on and with 2 for off and says so in words. Any other end, of any action, says
nothing by itself, for agents end with 1 alike when they cannot connect and when they could not verify. So the state is
read before an order, which tells whether anything can be reached at all, and again after one that failed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

from hanode.adapters.fencing import process
from hanode.adapters.fencing.attempt import Attempt
from hanode.adapters.fencing.settings import AgentSettings
from hanode.core.facts import Power

# The code alone is not believed: 2 is also how many programs end that were called wrongly.
ENDS: Mapping[int, tuple[Power, re.Pattern[str]]] = {
    0: (Power.ON, re.compile(r"\bON\b", re.IGNORECASE)),
    2: (Power.OFF, re.compile(r"\bOFF\b", re.IGNORECASE)),
}


class Agent:
    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._secret = settings.secret.read() if settings.secret else ""

    def switch(self, power: Power, attempt: Attempt) -> None:
        if self.read(attempt) is power:
            return
        attempt.sending()
        result = self._run(power.value, attempt)
        if result.returncode != 0 and self.read(attempt) is not power:
            raise attempt.unanswered(f"{self._told(result)} to the order")

    def read(self, attempt: Attempt) -> Power:
        result = self._run("status", attempt)
        if result.returncode not in ENDS:
            raise attempt.unanswered(f"{self._told(result)} to a reading")
        power, word = ENDS[result.returncode]
        return power if word.search(result.stdout) else Power.OTHER

    def look(self, attempt: Attempt) -> tuple[Power, str]:
        return self.read(attempt), ""

    def _run(self, action: str, attempt: Attempt) -> subprocess.CompletedProcess[str]:
        # The password goes where nobody else can look: not into the arguments, not into the environment.
        secret = {self._settings.password_option: self._secret} if self._secret else {}
        told = {**self._settings.options, **secret, "action": action}
        lines = "".join(f"{key}={value}\n" for key, value in told.items())
        return process.run([str(self._settings.agent)], attempt, told=lines)

    def _told(self, result: subprocess.CompletedProcess[str]) -> str:
        said = process.last_line(result.stdout + result.stderr, self._secret)
        return f"{self._settings.agent.name} ended with {result.returncode} ({said})"
