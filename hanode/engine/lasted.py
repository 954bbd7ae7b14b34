"""How long did recoveries take before? From the stamps in the journal's history, which are all of one leader's clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hanode.core.decisions import Closed
from hanode.core.lifecycle import InstanceState
from hanode.core.preview import Lasted
from hanode.engine.age import time_of


def lasted_of(history: Iterable[Closed]) -> Lasted:
    """Of incidents that were fenced; what was only observed, or given up, tells nothing of the next."""
    records = [closed.record for closed in history if closed.record.fenced_at and not closed.record.observe_only]
    fences = [between for record in records for between in _between(record.opened_at, record.fenced_at)]
    entries = [entry for record in records for entry in record.instances.values() if entry.state is InstanceState.VERIFIED]
    restarts = [between for entry in entries for between in _between(entry.requested_at, entry.ended_at)]
    return Lasted.of(fences, restarts)


def _between(begun_at: str, ended_at: str) -> Iterator[float]:
    """Nothing, where a stamp is missing, or the clocks of two leaders do not agree."""
    try:
        passed_s = (time_of(ended_at) - time_of(begun_at)).total_seconds()
    except ValueError:
        return
    if passed_s >= 0:
        yield passed_s
