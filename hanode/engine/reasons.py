"""Which few words are left of a reason when it becomes a label? Bounded, and never a name or a user's text."""

from __future__ import annotations

from collections.abc import Mapping

from hanode.core.constraints import CONSTRAINTS

OTHER = "other"

WAITING: Mapping[str, str] = {
    **{f"no host can take it: {name}": name for name in CONSTRAINTS},
    "no host is up": "no-host",
    "only ": "pinned",
    "ran on ": "doubted",
}
"""How a reason for waiting begins -> its class: the first constraint that it names is the one most hosts fail."""

SKIPPED: Mapping[str, str] = {
    "is PAUSED": "paused",
    "is SUSPENDED": "suspended",
    "is in RESCUE": "rescued",
    "waits for its resize": "resize",
    "is being resized": "resize",
    "is SHELVED": "shelved",
    "its project": "policy",
    "its image": "policy",
    "is in vm_state": "vm-state",
}


def reason_class(reason: str, classes: Mapping[str, str]) -> str:
    return next((name for beginning, name in classes.items() if reason.startswith(beginning)), OTHER)
