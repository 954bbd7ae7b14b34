"""Is nothing decided again when nothing is new, and everything when something is?"""

from __future__ import annotations

import pytest

from hanode.core.decide import decide
from hanode.core.policy import Policy
from hanode.sim.run import Simulation
from tests.sim.story import cloud


class Watched:
    """A cluster of one daemon that has led for long, and how often it has decided since."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, policy: Policy) -> None:
        self.world = cloud("c1", "c2", "c3")
        self.world.add_server("web", "c1")
        self.simulation = Simulation(self.world, policy, nodes=("n1",))
        self.simulation.run(60.0)
        self.decided: list[float] = []

        def counted(*given: object) -> object:
            self.decided.append(self.world.now_s)
            return decide(*given)  # type: ignore[arg-type] # handed through as they come

        monkeypatch.setattr("hanode.engine.tick.decide", counted)

    @property
    def policy(self) -> Policy:
        return self.simulation.policy


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch, Policy(mode="act", fenceable=frozenset({"c1", "c2", "c3"})))


def test_in_quiet_times_a_poll_of_nova_is_decided_on_once(quiet: Watched) -> None:
    """Renewing the office and beginning a read are no news: at ten thousand hosts each decision costs a tenth of a second."""
    quiet.simulation.run(60.0 + 10 * quiet.policy.poll_s)
    assert 9 <= len(quiet.decided) <= 11


def test_what_devices_say_to_a_check_waits_for_the_next_poll(quiet: Watched) -> None:
    """At ten thousand hosts three of them are checked each second; nobody is recovered sooner because a healthy one was."""
    quiet.simulation.run(700.0)
    checked = [call for call in quiet.simulation.daemons["n1"].node.trace if call.name == "fencer.check"]
    assert {call.subject for call in checked} == {"c1", "c2", "c3"}
    assert len(quiet.decided) <= 640.0 / quiet.policy.poll_s + 1
    assert not quiet.simulation.story.ticks[-1].decisions.readiness.unchecked


def test_a_command_is_news(quiet: Watched) -> None:
    """An operator is answered in the next tick, whatever the poll is."""
    quiet.simulation.command("brake-release", "c3", "to see")
    quiet.simulation.run(60.0 + quiet.policy.lease_ttl_s / 5 + 0.5)
    assert quiet.simulation.book().answers


def test_a_new_policy_is_decided_on_at_once(quiet: Watched) -> None:
    """A reload that arms hanode must not wait for the next poll."""
    before = len(quiet.decided)
    daemon = quiet.simulation.daemons["n1"]
    daemon.engine.tick()
    assert len(quiet.decided) == before
    daemon.engine.reload(quiet.policy)
    daemon.engine.tick()
    assert len(quiet.decided) == before + 1


def test_a_record_that_somebody_changed_is_news(quiet: Watched) -> None:
    """A journal that was wiped or put back is seen in the next tick, not with the next answer of Nova."""
    daemon = quiet.simulation.daemons["n1"]
    daemon.engine.tick()
    before = len(quiet.decided)
    quiet.simulation.space.entries.pop("roster")
    daemon.engine.tick()
    assert len(quiet.decided) == before + 1


def test_while_a_hold_lasts_every_tick_decides(quiet: Watched) -> None:
    """A hold may end by time alone, and nobody tells when."""
    quiet.simulation.command("pause", "", "new firmware", for_s=20.0)
    quiet.simulation.run(90.0)
    assert not [hold for hold in quiet.simulation.story.ticks[-1].decisions.holds if hold.name == "OPERATOR_PAUSE"]
    assert len(quiet.decided) > 2 * 20.0 / quiet.policy.poll_s
