"""What must be seen of a host before a drill may cut its power? Whatever else is on it, or on its way to it, ends the drill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hanode.core.decisions import Hold, HoldKind, Judgement, Timers, Verdict
from hanode.core.draft import Draft
from hanode.core.drill import drills
from hanode.core.facts import Fleet, Migration, Reading, Unknown
from hanode.core.lifecycle import DrillState
from hanode.core.model import ActionKind, Moment, Snapshot, WantKind
from hanode.core.records import Drill, Records, Roster
from tests.core.facts import POLICY, evidence, host, instance

NOW_S = 1000.0
DRILL = Drill("c1", "c1-drill-1", "anna", "every quarter", "t0", ("id-canary",), DrillState.READYING)
CANARY = instance("canary")
ALONE: Mapping[tuple[WantKind, str], Any] = {
    (WantKind.SERVERS, "c1"): (CANARY,),
    (WantKind.MIGRATIONS, "c1"): (),
    (WantKind.CONSUMPTION, "rp-c1"): {"id-canary": {"VCPU": 1}},
    (WantKind.SKIP_IMAGES, ""): frozenset(),
}
"""A host with nothing but its canary."""


def step(changes: Mapping[tuple[WantKind, str], Any], age_s: float = 0.0, holds: tuple[Hold, ...] = (), status: str = "disabled") -> Draft:
    """One tick of a drill that is READYING, with these readings."""
    node = host("c1", status=status, disabled_reason="hanode: drill by anna: every quarter" if status == "disabled" else "")
    read = {key: Reading(value, NOW_S - age_s, NOW_S) for key, value in {**ALONE, **changes}.items()}
    read[WantKind.FLEET, ""] = Reading(Fleet({"c1": node}, ()), NOW_S, NOW_S)
    waits = {"disabled/c1-drill-1": NOW_S - 60, "readying/c1-drill-1": NOW_S - 60}
    roster = Roster(seen=frozenset({"c1"}), drills={"c1": DRILL})
    draft = Draft(Snapshot(read), Records({}, roster), Timers(0.0, waits=waits), POLICY, Moment(NOW_S, "t1"))
    draft.verdicts, draft.holds = {"c1": Judgement(Verdict.HEALTHY, "beats")}, holds
    drills(draft, {"c1": evidence(host=node, roster=roster)})
    return draft


def told_off(draft: Draft) -> bool:
    return any(action.kind is ActionKind.POWER_OFF for action in draft.decisions().actions)


def test_the_power_is_cut_when_a_fresh_look_shows_the_canaries_alone() -> None:
    """In the same tick in which that is written down; and what was decided too long ago is not sent any more."""
    draft = step({})
    (off,) = draft.decisions().actions
    assert (off.kind, off.until_s) == (ActionKind.POWER_OFF, NOW_S + POLICY.proof_s)
    assert (draft.roster.drills["c1"].state, draft.roster.drills["c1"].stamps) == (DrillState.CUTTING, {"cut": "t1"})


@pytest.mark.parametrize(("changes", "why"), [
    ({(WantKind.SERVERS, "c1"): (CANARY, instance("web"))}, "web is on it, and no canary"),
    ({(WantKind.SERVERS, "c1"): ()}, "the canary id-canary is not on it"),
    ({(WantKind.SERVERS, "c1"): (replace(CANARY, task_state="migrating"),)}, "the canary canary is migrating, not active"),
    ({(WantKind.SERVERS, "c1"): (replace(CANARY, vm_state="paused"),)}, "the canary canary is paused, not active"),
    ({(WantKind.CONSUMPTION, "rp-c1"): {"id-canary": {}, "id-new": {}}}, "Placement holds room on it for id-new"),
    ({(WantKind.MIGRATIONS, "c1"): (Migration("m1", "id-x", "live-migration", "running", "c2", "c1"),)}, "migration m1 of it is open"),
    ({(WantKind.SKIP_IMAGES, ""): frozenset({"image"})}, "the canary canary would not be restarted"),
])
def test_anything_else_on_it_or_on_its_way_ends_the_drill(changes: Mapping[tuple[WantKind, str], Any], why: str) -> None:
    """Nothing was switched off yet, and nothing is."""
    draft = step(changes)
    assert not told_off(draft)
    assert (draft.roster.drills["c1"].state, why in draft.roster.drills["c1"].reason) == (DrillState.ENDING, True)


@pytest.mark.parametrize("draft", [
    step({}, age_s=POLICY.proof_s + 1),
    step({(WantKind.CONSUMPTION, "rp-c1"): Unknown("no answer")}),
    step({(WantKind.SERVERS, "c1"): Unknown("no answer")}),
    step({}, holds=(Hold("OFFICE", HoldKind.DELAY, "took office just now", "time"),)),
    step({}, status="enabled"),
], ids=["old look", "allocations unknown", "servers unknown", "office hold", "not disabled yet"])
def test_what_is_not_known_now_is_waited_for(draft: Draft) -> None:
    """A failed or old read is never an empty host."""
    assert not told_off(draft)
    assert draft.roster.drills["c1"].state is DrillState.READYING
