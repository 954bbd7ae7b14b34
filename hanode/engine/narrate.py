"""What does the log say of a decision? One line for each note and each action; the same text in production and simulator."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from hanode import metrics
from hanode.core.decisions import Decisions, Level, Note
from hanode.core.model import Action, ActionKind, Outcome, Result
from hanode.core.records import HostRecovery

LOG = logging.getLogger(__name__)
LEVELS: Mapping[Level, int] = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ALARM: logging.ERROR}


class Narrator(Protocol):
    """Where the story goes: a log, counters, notifications, or a golden file."""

    def note(self, note: Note) -> None: ...

    def action(self, action: Action) -> None: ...

    def outcome(self, outcome: Outcome) -> None: ...

    def decided(self, decisions: Decisions, records: Mapping[str, HostRecovery], status: Mapping[str, Any], /) -> None:
        """The end of a tick: what was committed, all open records after it, and what is published."""
        ...


def line_of_note(note: Note) -> str:
    where = f"{note.host}: " if note.host else ""
    incident = f" [{note.incident}]" if note.incident else ""
    mark = "ALARM " if note.level is Level.ALARM else ""
    return f"{mark}{where}{note.text}{incident}"


def line_of_action(action: Action) -> str:
    subject = f" {action.name or action.instance_id}" if action.instance_id else ""
    target = f" to {action.target}" if action.target else ""
    reason = f" ({action.reason})" if action.reason else ""
    level = f" by level {action.level}" if action.level > 1 else f" by storage {action.store}" if action.store else ""
    return f"{action.host}: do {action.kind}{subject}{target}{level}{reason} [{action.incident} #{action.attempt}]"


def line_of_outcome(outcome: Outcome) -> str | None:
    """Worth a line only when it did not simply succeed."""
    if outcome.result is Result.DONE or outcome.action.kind in {ActionKind.POWER_OFF, ActionKind.CUT}:
        return None  # of these the incident itself tells
    action = outcome.action
    subject = f" {action.name or action.instance_id}" if action.instance_id else ""
    return f"{action.host}: {action.kind}{subject} {outcome.result}: {outcome.detail} [{action.incident}]"


def narrate(narrator: Narrator, decisions: Decisions, records: Mapping[str, HostRecovery], status: Mapping[str, Any]) -> None:
    for note in decisions.notes:
        narrator.note(note)
    for action in decisions.actions:
        narrator.action(action)
    narrator.decided(decisions, records, status)


class LogNarrator:
    """In production: lines for people in the log, and counters."""

    def note(self, note: Note) -> None:
        LOG.log(LEVELS[note.level], "%s", line_of_note(note))
        metrics.noted(note.event, note.level)

    def action(self, action: Action) -> None:
        LOG.info("%s", line_of_action(action))

    def outcome(self, outcome: Outcome) -> None:
        metrics.acted(outcome.action.kind, outcome.result)
        line = line_of_outcome(outcome)
        if line:
            LOG.warning("%s", line)

    def decided(self, decisions: Decisions, records: Mapping[str, HostRecovery], status: Mapping[str, Any], /) -> None:
        """What holds now, unlike what happens, is shown by `hanode.engine.measure`."""


class Chorus:
    """Several narrators, in their order."""

    def __init__(self, *narrators: Narrator) -> None:
        self._narrators = narrators

    def note(self, note: Note) -> None:
        for narrator in self._narrators:
            narrator.note(note)

    def action(self, action: Action) -> None:
        for narrator in self._narrators:
            narrator.action(action)

    def outcome(self, outcome: Outcome) -> None:
        for narrator in self._narrators:
            narrator.outcome(outcome)

    def decided(self, decisions: Decisions, records: Mapping[str, HostRecovery], status: Mapping[str, Any], /) -> None:
        for narrator in self._narrators:
            narrator.decided(decisions, records, status)
