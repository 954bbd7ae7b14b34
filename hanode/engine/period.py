"""What was hanode worth in a period? Counts and times over the reviews of its incidents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hanode.core.lifecycle import InstanceState
from hanode.engine.review import Down, Kind, Review, seconds_between, spread

COUNTED: Mapping[Kind, str] = {
    Kind.WOULD_RIGHT: "would_have_fenced_right", Kind.WOULD_WRONG: "would_have_fenced_wrong",
    Kind.WOULD_UNCLEAR: "would_have_fenced_unknown", Kind.FENCED: "fenced_right", Kind.WRONG: "fenced_wrong",
    Kind.FALSE_ALARM: "false_alarms", Kind.ABANDONED: "given_up", Kind.REBOOTED: "rebooted_by_themselves",
}


def period(reviews: Sequence[Review], target_s: float) -> dict[str, Any]:
    """For programs and people; empty figures are None, because nobody measured them."""
    counts = Counter(review.kind for review in reviews)
    downtimes = [s for review in reviews if review.kind is Kind.FENCED for d in review.instances if (s := _recovered_s(d)) is not None]
    measured = spread(downtimes)
    typical_s = measured.p50_s if measured else target_s
    return {
        "incidents": len(reviews),
        **{name: counts[kind] for kind, name in COUNTED.items()},
        "instances_recovered": len(downtimes),
        "instances_stuck_or_failed": sum(review.lost for review in reviews),
        "within_target": sum(s <= target_s for s in downtimes),
        "target_s": target_s,
        "recovery_p50_s": measured.p50_s if measured else None,
        "recovery_p90_s": measured.p90_s if measured else None,
        "recovery_p99_s": measured.p99_s if measured else None,
        "recovery_longest_s": measured.max_s if measured else None,
        "instance_seconds_saved": round(sum(map(_saved_s, reviews))),
        "instance_seconds_that_would_have_been_saved": round(sum(_would_have_saved_s(review, typical_s) for review in reviews)),
    }


def _recovered_s(down: Down) -> float | None:
    return down.down_s if down.state in {InstanceState.VERIFIED, InstanceState.RETURNED} else None


def _saved_s(review: Review) -> float:
    """Of each instance that ran again elsewhere: from then until its own host was back in service."""
    moved = [down for down in review.instances if down.state == InstanceState.VERIFIED and down.target]
    return sum(seconds_between(down.down_until, review.ended_at) or 0.0 for down in moved) if review.kind is Kind.FENCED else 0.0


def _would_have_saved_s(review: Review, typical_s: float) -> float:
    """Of each instance on a host that was rightly taken for dead: how much longer it was off than a recovery takes here."""
    if review.kind is not Kind.WOULD_RIGHT:
        return 0.0
    return sum(max(0.0, (down.down_s or 0.0) - typical_s) for down in review.instances)
