"""What is the journal in virtual time? A dictionary that several nodes share, each with its own way to reach it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hanode.ports import Entry, Transaction

Faults = Callable[[str, str], None]
"""Called with ("before" | "after", "read" | "commit"); what it raises is what the caller of the journal sees.

An error raised before means that nothing happened; raised after, that it did happen and only the answer was lost.
"""


def no_faults(moment: str, operation: str) -> None:
    """Nothing goes wrong."""


@dataclass
class Space:
    """The keys themselves. Clearing `entries` is a wiped journal; `revision` goes on counting for ever."""

    entries: dict[str, Entry] = field(default_factory=dict)
    revision: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    clock: Callable[[], float] | None = None  # with one, what was is kept for `restore`
    past: list[tuple[float, int, Mapping[str, Entry]]] = field(default_factory=list)

    def keep(self) -> None:
        if self.clock is not None:
            self.past.append((self.clock(), self.revision, dict(self.entries)))

    def restore(self, time_s: float) -> None:
        """As a backup of that moment: what came after is lost, and revisions are counted anew from there."""
        kept = [moment for moment in self.past if moment[0] <= time_s] or [(time_s, 0, {})]
        _, self.revision, entries = kept[-1]
        self.entries = dict(entries)
        self.keep()


class MemoryJournal:
    """One node's access to a Space."""

    def __init__(self, space: Space | None = None, faults: Faults = no_faults) -> None:
        self.space = space if space is not None else Space()
        self._faults = faults

    def read(self, prefix: str) -> tuple[Entry, ...]:
        self._faults("before", "read")
        with self.space.lock:
            entries = self.space.entries
            keys = [key for key in entries if key.startswith(prefix)]
            if len(keys) > 1:
                keys.sort()
            found = tuple([entries[key] for key in keys])
        self._faults("after", "read")
        return found

    def revisions(self, prefix: str) -> dict[str, int]:
        return {entry.key: entry.revision for entry in self.read(prefix)}

    def commit(self, transaction: Transaction) -> bool:
        self._faults("before", "commit")
        with self.space.lock:
            happened = self._apply(transaction)
        self._faults("after", "commit")
        return happened

    def _apply(self, transaction: Transaction) -> bool:
        entries = self.space.entries
        if any((entries[key].revision if key in entries else 0) != wanted for key, wanted in transaction.compares.items()):
            return False
        self.space.revision += 1
        for key, value in transaction.puts.items():
            entries[key] = Entry(key, value, self.space.revision)
        for key in transaction.deletes:
            entries.pop(key, None)
        self.space.keep()
        return True
