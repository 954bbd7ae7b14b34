"""`hanode explain`: what happened to a host or an instance, in order, and by which option."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hanode.conf.options import list_opts
from hanode.core.decisions import Closed
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.records import Proof, ProofKind
from hanode.engine.explain import DECIDED_BY
from tests.core.cli_stage import DEAD, Leader, Terminal, told

SCENARIOS = Path(__file__).parents[1] / "scenarios"
CORE = Path(__file__).parents[2] / "hanode/core"

LONG_DEAD = replace(
    DEAD, incident="compute7-0", state=HostState.RELEASING, opened_at="2026-01-01T00:00:00Z", fenced_at="2026-01-01T00:01:00Z",
    proof=Proof(ProofKind.DEVICE, "its power device read exactly off twice", "2026-01-01T00:01:00Z"), offs=("done",),
    instances={"i-1": replace(DEAD.instances["i-1"], state=InstanceState.VERIFIED, attempt=2, target="compute3", avoid=("compute2",),
                              reason="is on compute3 as before", requested_at="2026-01-01T00:01:05Z", ended_at="2026-01-01T00:02:00Z")},
)


def said(hanode: Terminal, name: str) -> list[dict[str, str]]:
    code, shown, _ = hanode(f"explain {name} -f json")
    assert code == 0
    found: list[dict[str, str]] = json.loads(shown)
    return found


def test_a_host_s_past_is_told_before_its_present(hanode: Terminal, leader: Leader) -> None:
    """Who asks why reads from the first cause to what is so now."""
    leader.leads(told(compute7={"verdict": "FAILED", "reason": "no sign of life for 61 s"}), DEAD)
    leader.ledger.load()
    assert leader.guard is not None
    leader.ledger.commit(leader.guard, closes=[Closed(LONG_DEAD, "released")])
    leader.ledger.load()
    leader.ledger.commit(leader.guard, writes=[DEAD])
    lines = [line["what"] for line in said(hanode, "compute7")]
    order = ["was proven dead (device)", "the incident ended: released", "NEEDS_OPERATOR, the host cannot be proven off", "FAILED: no sign"]
    places = [next(i for i, line in enumerate(lines) if line.startswith(part)) for part in order]
    assert places == sorted(places)


def test_the_option_that_decided_stands_beside_the_reason(hanode: Terminal, leader: Leader) -> None:
    """It is what an operator who disagrees has to change."""
    exempt = {"compute1": "in no protected aggregate"}
    leader.leads({**told(), "exempt": exempt})
    line = next(line for line in said(hanode, "compute1") if line["what"].startswith("HEALTHY"))
    assert (line["at"], line["option"]) == ("now", "[protection] aggregates")


def test_an_instance_is_found_by_its_name_in_what_has_ended(hanode: Terminal, leader: Leader) -> None:
    """Its owner asks on Monday what happened on Saturday."""
    leader.leads(told(), replace(LONG_DEAD))
    leader.ledger.load()
    assert leader.guard is not None
    leader.ledger.commit(leader.guard, closes=[Closed(LONG_DEAD, "released")])
    for name in ("web", "i-1"):
        lines = said(hanode, name)
        assert [line["about"] for line in lines] == ["web"] * 3
        assert lines[1]["what"] == "evacuation 2 was asked for, to compute3; not again on compute2"
        assert lines[2]["what"] == "VERIFIED: is on compute3 as before"


def test_an_instance_in_an_open_incident_is_told_with_its_host(hanode: Terminal, leader: Leader) -> None:
    """Why it still waits is mostly a matter of its host."""
    leader.leads(told(compute7={"verdict": "FAILED", "reason": "no sign of life for 61 s"}), DEAD)
    assert {line["about"] for line in said(hanode, "web")} == {"web", "compute7"}


def test_what_no_incident_has_touched_is_refused_with_a_remedy(hanode: Terminal, leader: Leader) -> None:
    """The journal is no inventory of the cloud."""
    leader.leads(told())
    code, _, error = hanode("explain nobody")
    assert code == 1
    assert "openstack server show nobody" in error


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in DECIDED_BY])
def test_every_reason_of_the_table_is_still_said(pattern: str) -> None:
    """A reason that was worded anew would silently lose its option."""
    told_in = [path.read_text(encoding="utf-8") for path in (*SCENARIOS.glob("*/log.expect"), *CORE.glob("*.py"))]
    assert any(re.search(pattern, text, re.MULTILINE) for text in told_in)


def test_every_option_of_the_table_exists() -> None:
    """What is named must be what can be set."""
    known = {(group.name, option.dest) for group, options in list_opts() for option in options}
    named = {found for _, options in DECIDED_BY for found in re.findall(r"\[(\w+)\] (\w+)", options)}
    assert named - known == set()
