"""A host that failed is back: when is it taken for failed again?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decisions import Judgement, Timers, Trace, Verdict
from hanode.core.draft import Draft
from hanode.core.home import releasing
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Moment, Snapshot
from hanode.core.records import Before, HostRecovery, InstanceRecovery, Records
from tests.core.facts import POLICY, evidence

BACK_S, NOW_S = 995.0, 1000.0
WAITS = InstanceRecovery("id-vm", "vm", InstanceState.WAITING, "no room", Before("active", "running", False))
RECORD = HostRecovery("c1", "c1-1", HostState.RELEASING, "is back: it answers the probe", "t0", instances={"id-vm": WAITS})


@pytest.mark.parametrize(("last_read_s", "state"), [(BACK_S - 1, HostState.RELEASING), (BACK_S + 1, HostState.FENCING)])
def test_a_reading_of_off_from_before_its_return_does_not_make_it_fail_again(last_read_s: float, state: HostState) -> None:
    """It answers a witness a moment before its own power device is read again; an off that is read after that is another matter."""
    e = replace(evidence(60.0, now_s=NOW_S, record=RECORD), power=Trace("off", BACK_S - 8, last_read_s, 4))
    draft = Draft(Snapshot(), Records({"c1": RECORD}), Timers(0.0, waits={"releasing/c1-1": BACK_S}), POLICY, Moment(NOW_S, "t1"))
    draft.verdicts = {"c1": Judgement(Verdict.FAILED, "silent, and read off twice")}
    releasing(draft, RECORD, e)
    assert draft.records["c1"].state is state
