"""What are people told of the stories? Whole scenarios, with a herald beside each leader's log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hanode.core.decisions import Decisions, Level, Note, Timers
from hanode.core.news import Event, News, Phase, alarms
from hanode.engine.herald import Herald
from hanode.engine.narrate import Chorus, Narrator
from hanode.sim.node import SimNode
from hanode.sim.run import Simulation, StoryNarrator
from hanode.sim.scenario import run

ROOT = Path(__file__).parents[1] / "scenarios"


@dataclass
class Told:
    """A Notifier that only remembers, for all nodes together."""

    news: list[tuple[str, News]] = field(default_factory=list)

    def by(self, node: str) -> Teller:
        return Teller(self, node)

    def lines(self, *events: Event) -> list[str]:
        return [f"{news.event} {news.phase} {news.key}" for _, news in self.news if not events or news.event in events]


@dataclass
class Teller:
    told: Told
    node: str

    def tell(self, news: News) -> None:
        self.told.news.append((self.node, news))

    def forget(self) -> None:
        """The simulation has no queue."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told()

    def narrator(self: Simulation, node: SimNode) -> Narrator:
        return Chorus(StoryNarrator(self.story, node.name), Herald(found.by(node.name), node.name))

    monkeypatch.setattr(Simulation, "narrator", narrator)
    return found


def test_an_incident_is_told_from_its_beginning_to_its_end(told: Told) -> None:
    """Whoever reads nothing but his pager knows that it began, that all instances run again, and that it is over."""
    run(ROOT / "release-by-operator")
    (key,) = {news.key for _, news in told.news if news.event is Event.INCIDENT}
    assert told.lines(Event.INCIDENT, Event.RECOVERED) == [
        f"incident begins {key}", f"recovered tells {key}/recovered", f"incident ends {key}"]
    end = next(news for _, news in told.news if news.phase is Phase.ENDS)
    assert end.text.endswith("the incident ended: released")


@pytest.mark.parametrize("story", ["leader-killed-mid-recovery", "leader-killed-while-fencing", "leader-cut-from-journal", "leader-paused"])
def test_a_change_of_leader_repeats_what_is_open_at_most_once(told: Told, story: str) -> None:
    """The receiver knows the repetition by its key; nothing is lost with the leader that died."""
    run(ROOT / story)
    takings = told.lines(Event.LEADER)
    assert len(takings) >= 2
    begun = Counter(news.key for _, news in told.news if news.phase is Phase.BEGINS)
    assert begun and max(begun.values()) <= len(takings)
    ended = Counter(news.key for _, news in told.news if news.phase is Phase.ENDS)
    assert max(ended.values(), default=1) == 1
    # Each new leader says what it takes over: all that was begun and not ended, if it still is so.
    last = next(at for at in range(len(told.news) - 1, -1, -1) if told.news[at][1].event is Event.LEADER)
    open_then = {key for key in begun if any(n.key == key and n.phase is Phase.BEGINS for _, n in told.news[:last])
                 and not any(n.key == key and n.phase is Phase.ENDS for _, n in told.news[:last])}
    assert set(told.news[last][1].is_open) <= begun.keys()
    assert {key for key in open_then if key.startswith("incident/")} <= set(told.news[last][1].is_open)


def test_a_suspicion_that_came_to_nothing_is_no_news(told: Told) -> None:
    """A pager that cries for a hiccup is switched off."""
    run(ROOT / "hiccup")
    assert told.lines(Event.INCIDENT) == []


def test_a_person_is_called_and_told_when_not_needed_any_more(told: Told) -> None:
    """Both ends: a call that nobody takes back sends the next shift to the data centre for nothing."""
    run(ROOT / "fence-unreachable-then-confirmed")
    assert [line.rpartition(" ")[0] for line in told.lines(Event.NEEDS_OPERATOR)] == ["needs-operator begins", "needs-operator ends"]


def test_the_brake_is_told_on_and_off(told: Told) -> None:
    """While it holds, nobody is recovered: somebody must look."""
    run(ROOT / "rack-silent")
    assert told.lines(Event.BRAKE) == ["brake begins brake/FAILURE_DOMAIN", "brake ends brake/FAILURE_DOMAIN"]


def test_many_alarms_at_once_are_one_message() -> None:
    """A control plane that stops makes a message, not one for each host."""
    notes = [Note(Level.ALARM, "verdict", f"c{number}", "HELD: fell silent") for number in range(40)]
    lone = Note(Level.ALARM, "proof", "c1", "its device is silent", "c1-1")
    told = list(alarms([*notes, lone, Note(Level.WARNING, "fenced", "c1", "is proven dead")], "T"))
    assert [news.key for news in told] == ["alarm/verdict/several", "alarm/proof/c1/c1-1"]
    assert told[0].text.startswith("40 alarms at once, of c0, c1, c10")
    assert len(list(alarms(notes[:3], "T"))) == 3


def test_an_alarm_is_told_once_a_term_though_its_seconds_differ(told: Told) -> None:
    """The story says it again when it becomes true again; the pager knows by then."""
    herald, node = Herald(told.by("n1"), "n1"), "n1"
    for term, seconds in ((1, 12), (1, 15), (2, 17)):
        herald.note(Note(Level.ALARM, "verdict", "c1", f"AGENT_DOWN: silent for {seconds} s"))
        status = {"quarantined": {}, "leader": {"term": term}, "updated_at": "T"}
        herald.decided(Decisions(Timers(0.0)), {}, status)
    assert told.lines() == ["leader tells leader", "alarm tells alarm/verdict/c1"] * 2
    assert {at for at, _ in told.news} == {node}


def test_a_would_be_incident_says_that_nothing_is_done(told: Told) -> None:
    """In mode observe a page that reads like a recovery would be believed."""
    run(ROOT / "observe-wrong")
    begins, ends = (news for _, news in told.news if news.event is Event.INCIDENT)
    assert "would be fenced (mode observe)" in begins.text
    assert "observed only: WRONG, the host lives" in ends.text
    assert "lost" not in {str(news.event) for _, news in told.news}
