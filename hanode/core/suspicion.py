"""How long may this host be silent before that is unlike it? By its own rhythm, as this leader has heard it.

Three thresholds: after `quiet_after_s` nothing is placed there and its power is read; after `suspect_after_s` it is SUSPECT;
`Policy.fence_after_s` alone, or proof of death, lets it be powered off. Only the one in the middle is learned.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from hanode.core.decisions import Beat
from hanode.core.policy import Policy

PHI = 3.0
"""Suspected when, by its own history, only one of 10^PHI of its heartbeats would come so late (the phi accrual detector)."""

SPREADS = NormalDist().inv_cdf(1 - 10**-PHI)

ENOUGH = 8
"""Fewer intervals than this are no rhythm."""


def quiet_after_s(policy: Policy) -> float:
    """The earliest moment at which a silence means anything."""
    return min(policy.suspect_after_s, 1.5 * policy.report_interval_s)


def latest_s(policy: Policy) -> float:
    """A host that reports as it likes is suspected by then, and always before it could be fenced."""
    return min(max(policy.suspect_after_s, policy.suspect_at_most_s), policy.fence_after_s)


def suspect_after_s(beat: Beat, policy: Policy) -> float:
    """Sooner for a host that reports like a clock, later for one that does not; the configured time while it is not known."""
    late_s = latest_s(policy)
    due_s = _due_s(beat.intervals_s, late_s)
    return policy.suspect_after_s if due_s is None else max(quiet_after_s(policy), min(due_s, late_s))


@lru_cache(maxsize=32768)  # asked of every host in every tick, and a host's rhythm changes only when it beats
def _due_s(intervals_s: tuple[float, ...], late_s: float) -> float | None:
    """When the next heartbeat is due by those before it; None while they are no rhythm."""
    rhythm = [interval_s for interval_s in intervals_s if interval_s <= late_s]  # what is longer was an outage
    if len(rhythm) < ENOUGH:
        return None
    # In floats: statistics.pstdev reckons in fractions, fifty times slower.
    mean_s = math.fsum(rhythm) / len(rhythm)
    spread_s = math.sqrt(math.fsum((interval_s - mean_s) ** 2 for interval_s in rhythm) / len(rhythm))
    return mean_s + SPREADS * spread_s
