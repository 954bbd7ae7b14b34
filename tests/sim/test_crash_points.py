"""Whenever the leader dies, the story ends the same: the recovery is run once for every point at which a process can die.

`HANODE_EVERY_CALL=1` also tries the points among the reads and renewals of each tick (some five times as many).
"""

from __future__ import annotations

import os

import pytest

from tests.sim.crash_points import PLOTS, clean, ends

EVERY = os.environ.get("HANODE_EVERY_CALL") == "1"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(PLOTS))
def test_the_end_does_not_depend_on_when_the_leader_dies(name: str) -> None:
    """Crash-only: there is no resume path apart from the normal one, so each interrupted prefix must lead to the same end."""
    whole = clean(PLOTS[name])
    assert whole.end.violations == ()
    wrong = [f"n1 dies {moment} call {number}: {end}"
             for (_, number, moment), end in ends((name, number, moment) for number, moment in whole.points(EVERY)) if end != whole.end]
    assert wrong == [], f"{len(wrong)} ends are not {whole.end}"
