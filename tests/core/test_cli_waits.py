"""A host that came back and is not taken back yet says why, wherever an operator looks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.lifecycle import HostState
from hanode.sim.scenario import play
from tests.core.cli_stage import DEAD, Leader, Terminal, told

NIGHT = """
policy release={release} healthy_s=300 home_watch_s=10
hosts c1 c2 c3
servers web1 on c1
60 power-off c1
150 power-on c1
until {until}
"""


@pytest.mark.parametrize(("release", "until", "why"), [
    ("operator", 170, "its service does not report"),
    ("operator", 300, "waits for your word, type `hanode host release c1`"),
    ("auto", 300, "it must report for 300 s first (healthy_s)"),
])
def test_the_leader_publishes_what_a_returning_host_waits_for(release: str, until: int, why: str) -> None:
    """The line in the log was said once, hours ago."""
    leader = play(NIGHT.format(release=release, until=until)).simulation.leader()
    assert leader is not None
    assert leader.engine.status["hosts"]["c1"]["waits_for"] == why
    assert "waits_for" not in leader.engine.status["hosts"]["c2"]


@pytest.mark.parametrize("line", ["host show compute7", "incident show compute7", "explain compute7", "status"])
def test_an_operator_reads_it_where_he_looks(hanode: Terminal, leader: Leader, line: str) -> None:
    """And need not know in which of the commands it stands."""
    back = {"verdict": "HEALTHY", "reason": "", "state": "RELEASING", "waits_for": "it must report for 120 s first (healthy_s)"}
    leader.leads(told(compute7=back), replace(DEAD, state=HostState.RELEASING))
    code, shown, _ = hanode(line)
    assert (code, "it must report for 120 s first (healthy_s)" in shown.replace("\n", " ")) == (0, True), shown
