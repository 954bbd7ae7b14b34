"""What does the log say of a decision? One line for each note and each action; the same text in production and simulator."""

from __future__ import annotations

from typing import Protocol

from hanode.core.decisions import Decisions, Level, Note
from hanode.core.model import Action, ActionKind, Outcome, Result


class Narrator(Protocol):
    """Where the story goes: a log, counters, notifications, or a golden file."""

    def note(self, note: Note) -> None: ...

    def action(self, action: Action) -> None: ...

    def outcome(self, outcome: Outcome) -> None: ...

    def decided(self, decisions: Decisions) -> None: ...


def line_of_note(note: Note) -> str:
    where = f"{note.host}: " if note.host else ""
    incident = f" [{note.incident}]" if note.incident else ""
    mark = "ALARM " if note.level is Level.ALARM else ""
    return f"{mark}{where}{note.text}{incident}"


def line_of_action(action: Action) -> str:
    subject = f" {action.name or action.instance_id}" if action.instance_id else ""
    target = f" to {action.target}" if action.target else ""
    reason = f" ({action.reason})" if action.reason else ""
    return f"{action.host}: do {action.kind}{subject}{target}{reason} [{action.incident} #{action.attempt}]"


def line_of_outcome(outcome: Outcome) -> str | None:
    """Worth a line only when it did not simply succeed."""
    if outcome.result is Result.DONE or outcome.action.kind is ActionKind.POWER_OFF:
        return None  # of a power-off the incident itself tells
    action = outcome.action
    subject = f" {action.name or action.instance_id}" if action.instance_id else ""
    return f"{action.host}: {action.kind}{subject} {outcome.result}: {outcome.detail} [{action.incident}]"


def narrate(narrator: Narrator, decisions: Decisions) -> None:
    for note in decisions.notes:
        narrator.note(note)
    for action in decisions.actions:
        narrator.action(action)
    narrator.decided(decisions)
