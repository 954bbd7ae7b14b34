"""How fast does the journal answer, and how does it fail? Any journal, with its calls counted."""

from __future__ import annotations

from collections.abc import Mapping

from hanode import metrics
from hanode.ports import Entry, Journal, Transaction


class MeasuredJournal:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def read(self, prefix: str) -> tuple[Entry, ...]:
        with metrics.journal_call("read"):
            return self._journal.read(prefix)

    def revisions(self, prefix: str) -> Mapping[str, int]:
        with metrics.journal_call("read"):
            return self._journal.revisions(prefix)

    def commit(self, transaction: Transaction) -> bool:
        with metrics.journal_call("commit"):
            return self._journal.commit(transaction)
