"""What does our lock on an instance say? Written before each evacuation is posted; should the journal lose the intent, Nova has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hanode.core.policy import MARKER

REASON = re.compile(rf"{MARKER} (?P<incident>\S+) #(?P<attempt>[0-9]+) to (?P<target>\S+)(?P<stopped> stopped)?")


@dataclass(frozen=True)
class LockReason:
    incident: str
    attempt: int
    target: str
    stopped: bool = False  # it ran, arrives stopped, and is to be started

    def __str__(self) -> str:
        return f"{MARKER} {self.incident} #{self.attempt} to {self.target}{' stopped' if self.stopped else ''}"


def read(text: str) -> LockReason | None:
    """None for a lock that is not ours, or that tells nothing of an attempt."""
    found = REASON.fullmatch(text)
    return LockReason(found["incident"], int(found["attempt"]), found["target"], bool(found["stopped"])) if found else None
