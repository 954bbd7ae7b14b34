"""Which evacuations did Nova accept, and how did the world stand then? Reads the world's log; judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hanode.sim.world import Event

HANODE = "hanode"
OPEN = frozenset({"accepted", "pre-migrating"})
BLOCKING = OPEN | {"done"}


@dataclass
class Ledger:
    """The world as far as its log has been read: which host is off, which evacuation record is open."""

    off: set[str] = field(default_factory=set)
    on_s: dict[str, float] = field(default_factory=dict)  # when its power last changed
    cut_s: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)  # (domain, host) -> since when, and until when
    rows: dict[str, Mapping[str, str]] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)  # requests that were not ours
    asked_s: dict[str, float] = field(default_factory=dict)  # when each request was accepted
    never_cast: set[str] = field(default_factory=set)  # requests that nova-conductor gave up before anything was sent

    def read(self, event: Event) -> None:
        if event.kind == "power":
            (self.off.add if event.facts["to"] == "off" else self.off.discard)(event.subject)
            self.on_s[event.subject] = event.time_s
        elif event.kind == "storage-cut":
            began_s, ended_s = self.cut_s.get((event.facts["domain"], event.subject), (event.time_s, 0.0))
            goes_on = ended_s == float("inf")
            self.cut_s[event.facts["domain"], event.subject] = (began_s if goes_on else event.time_s, float("inf"))
        elif event.kind == "storage-open":
            began_s, _ = self.cut_s[event.facts["domain"], event.subject]
            self.cut_s[event.facts["domain"], event.subject] = (began_s, event.time_s)
        elif event.kind == "migration" and event.facts["type"] == "evacuation":
            self.rows[event.subject] = event.facts
        elif event.kind == "evacuate-accepted":
            self.asked_s[event.facts["request"]] = event.time_s
            if event.facts["user"] != HANODE:
                self.strangers.add(event.facts["request"])
        elif event.kind == "action-error" and event.facts["name"] == "rebuild_server":
            self.never_cast.add(event.subject)

    def is_strangers(self, row: Mapping[str, str]) -> bool:
        return row["request"] in self.strangers

    def may_still_run(self, instance_id: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Open evacuations of the instance, apart from those that are dead by Nova's own word or by their target's power."""
        for number, row in sorted(self.rows.items(), key=lambda item: int(item[0])):
            dead = row["request"] in self.never_cast or row["target"] in self.off
            if row["instance"] == instance_id and row["status"] in OPEN and not dead:
                yield number, row


def posts(log: Iterable[Event]) -> Iterator[tuple[Event, Ledger]]:
    """Each evacuation of ours that Nova accepted, with the ledger as it was just before."""
    ledger = Ledger()
    for event in log:
        if event.kind == "evacuate-accepted" and event.facts["user"] == HANODE:
            yield event, ledger
        ledger.read(event)


def by_strangers(log: Iterable[Event]) -> frozenset[str]:
    """Instances that somebody else evacuated from a host that was on, or while an evacuation of it might still run.

    Nova lets them, and no daemon can undo it: what becomes of these is not ours to answer for.
    """
    ledger, found = Ledger(), set[str]()
    for event in log:
        if event.kind == "evacuate-accepted" and event.facts["user"] != HANODE:
            alive = event.facts["source"] not in ledger.off
            if alive or any(ledger.may_still_run(event.subject)):
                found.add(event.subject)
        ledger.read(event)
    return frozenset(found)
