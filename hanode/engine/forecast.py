"""Is this recovery slower than those before it? What is open now beside what the journal's history has measured."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import Any

from hanode.core.decisions import Closed, Verdict
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.policy import Policy
from hanode.core.preview import Lasted
from hanode.core.records import HostRecovery
from hanode.core.restore import ran
from hanode.engine.lasted import lasted_of
from hanode.errors import HanodeError

LOG = logging.getLogger(__name__)

READ_EVERY_S = 600.0
"""At most, however often hosts are suspected."""

ACCOUNTED = frozenset({InstanceState.VERIFIED, InstanceState.RETURNED, InstanceState.SKIPPED, InstanceState.GONE})
LEFT_ALONE = frozenset({InstanceState.SKIPPED, InstanceState.GONE})


class Past:
    """How long recoveries took before. Read when a leader begins, and anew when it is quiet after an incident, in a thread of its own:
    it may be megabytes, and nobody waits for it."""

    def __init__(self, read_history: Callable[[], Iterable[Closed]]) -> None:
        self._read_history = read_history
        self._lasted = Lasted()
        self._is_due = True
        self._read_s = float("-inf")
        self._thread: threading.Thread | None = None

    def lasted(self, leads: bool, is_busy: bool) -> Lasted:
        """As last read; nothing is known before. `is_busy`: an incident is open, after which there is more to know."""
        now_s = time.monotonic()
        waits = is_busy and self._lasted.incidents > 0
        is_free = self._thread is None or not self._thread.is_alive()
        if leads and self._is_due and not waits and is_free and now_s - self._read_s >= READ_EVERY_S:
            self._is_due, self._read_s = False, now_s
            self._thread = threading.Thread(target=self._read, name="history", daemon=True)
            self._thread.start()
        self._is_due = self._is_due or is_busy or not leads
        return self._lasted

    def _read(self) -> None:
        try:
            self._lasted = lasted_of(self._read_history())
        except HanodeError as error:
            self._is_due = True
            LOG.warning("how long recoveries took before is not known now, trying again: %s", error)


def recovering(records: Mapping[str, HostRecovery], verdicts: Iterable[Verdict], policy: Policy) -> list[dict[str, Any]]:
    """Each incident in which somebody is down still: since when, and in how many rounds all that have failed now can be restarted.

    What is counted is all of an incident, not what is left of it: a prediction must not shrink with what is done.
    """
    failed = [record for _, record in sorted(records.items()) if record.state is not HostState.SUSPECT and not record.observe_only]
    down = [record for record in failed if any(i.state not in ACCOUNTED and ran(i) for i in record.instances.values())]
    if not down:
        return []
    by_domain = Counter(i.domain for record in down for i in record.instances.values() if i.state not in LEFT_ALONE)
    targets = sum(1 for verdict in verdicts if verdict is Verdict.HEALTHY)
    rounds = _rounds(by_domain, targets, policy)
    return [{"incident": record.incident, "since": record.opened_at, "rounds": rounds} for record in down]


def _rounds(by_domain: Mapping[str, int], targets: int, policy: Policy) -> int:
    """At best: as many at once as the configured limits let."""
    total = sum(by_domain.values())
    shares = [total / policy.max_evacuations, total / (policy.max_per_target * max(1, targets))]
    return max(1, *(ceil(share) for share in (*shares, *(count / policy.max_per_domain for count in by_domain.values()))))


def predicted_s(rounds: int, lasted: Lasted) -> float | None:
    """From the first suspicion until the last of them runs again; None: nothing was measured yet."""
    if lasted.fence_s is None or lasted.restart_s is None:
        return None
    return lasted.fence_s + rounds * lasted.restart_s
