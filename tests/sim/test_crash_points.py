"""Whenever the leader dies, the story ends the same: it is played once for every point at which a process can die.

At every point in each run for what every user relies on; of the other plots and of pairs of deaths a run takes a sample, and
`make crash-points` takes them all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hanode.sim.scenario import Result, play
from tests.sim.crash_plots import PLOTS
from tests.sim.crash_points import end_of, tour
from tests.sim.mutants import MUTANTS

ALL = bool(os.environ.get("HANODE_EVERY_CRASH_POINT"))
RELIED_UPON = {"recovery", "fence-retry", "release-by-itself", "release-by-operator"}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(PLOTS))
def test_the_end_does_not_depend_on_when_the_leader_dies(name: str, tmp_path: Path) -> None:
    """Crash-only: there is no resume path apart from the normal one, so each interrupted prefix must lead to the same end."""
    each = ALL or name in RELIED_UPON
    toured = tour(PLOTS[name], tmp_path / "stories", strides=(1 if each else 4,))
    assert toured.wrong() == [], f"of {len(toured.stories)} stories"
    assert toured.points > len(toured.stories) > (50 if each else 12)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(PLOTS))
def test_nor_does_it_depend_on_when_its_successor_dies_too(name: str, tmp_path: Path) -> None:
    """A sample of pairs: the second dies within its first seconds in office, when it knows the least."""
    toured = tour(PLOTS[name], tmp_path / "stories", strides=(7, 37) if ALL else (29, 37))
    assert toured.wrong() == [], f"of {len(toured.stories)} stories"
    assert any(len(told.deaths) == 2 for told in toured.stories)


def test_a_rule_that_matters_only_when_somebody_dies_is_seen_when_broken(tmp_path: Path) -> None:
    """Between the intent and the request is a moment; a leader that takes the one for the other is noticed there, and only there."""
    with MUTANTS["takes-an-intent-for-a-request"].applied():
        toured = tour(PLOTS["recovery"], tmp_path / "stories", strides=(3,))
    assert 0 < len(toured.wrong()) < len(toured.stories)
    assert "L1" in toured.wrong()[0]


def test_points_between_which_the_dying_one_only_reads_lead_to_the_same_story() -> None:
    """So it is enough to play one of them: a sample, played for both."""
    plot = PLOTS["recovery"]
    calls = [call for call in play(plot.text).simulation.daemons["n1"].node.trace if plot.from_s <= call.time_s <= plot.to_s]
    reads = [call.number for call in calls if call.name == "journal.read"][::199]
    assert len(reads) > 3
    for number in reads:
        before, after = (play(plot.text, crash_at=[(number, moment)]) for moment in ("before", "after"))
        assert _told(before) == _told(after)
        assert end_of(before.simulation) == end_of(after.simulation)


def _told(result: Result) -> list[str]:
    """Everything but the line that says at which call it died."""
    told = [line for line in result.lines if "-- n1 crashes" not in line]
    assert len(told) == len(result.lines) - 1
    return told
