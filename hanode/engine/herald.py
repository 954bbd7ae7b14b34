"""Who is told what this leader decided? After each commit, what is new is handed to the notifier; nothing waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanode.core.decisions import Decisions, Note
from hanode.core.model import Action, Outcome
from hanode.core.news import Topic, alarms, changes, same, took_office, topics
from hanode.core.records import HostRecovery
from hanode.ports import Notifier

REMEMBERED = 1000


class Herald:
    """A Narrator. It remembers what this term has told; a new term begins with nothing, so each change of leader repeats once
    what is open, and loses nothing of it."""

    def __init__(self, notifier: Notifier, node: str) -> None:
        self._notifier, self._node = notifier, node
        self._term = -1
        self._told: Mapping[str, Topic] = {}
        self._alarms: dict[tuple[str, str, str], None] = {}  # an ordered set
        self._notes: list[Note] = []

    def note(self, note: Note) -> None:
        self._notes.append(note)

    def action(self, action: Action) -> None:
        """Told by what it leads to."""

    def outcome(self, outcome: Outcome) -> None:
        """Told by what it leads to."""

    def decided(self, decisions: Decisions, records: Mapping[str, HostRecovery], status: Mapping[str, Any]) -> None:
        now = topics(records, decisions.holds, status["quarantined"])
        term, at = int(status["leader"]["term"]), str(status["updated_at"])
        if term != self._term:
            self._term, self._told, self._alarms = term, {}, {}
            self._notifier.tell(took_office(self._node, term, now, at))
        for news in changes(self._told, now, decisions.closes, at):
            self._notifier.tell(news)
        for news in alarms(self._notes, at):
            if same(news) not in self._alarms:
                self._notifier.tell(news)
            self._alarms[same(news)] = None
        for old in list(self._alarms)[:-REMEMBERED]:
            del self._alarms[old]
        self._told, self._notes = now, []
