"""What do people and their tools want to be told without asking, and has it been told already? Pure: facts in, news out.

Most news are of something that *is so* for a while (an incident, a hold of the brake): they are compared with what was told
before, not with events, so that nothing is lost with a leader. A new leader has told nothing yet and tells what is open once
more, under the same keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hanode.core.decisions import Closed, Hold, HoldKind, Level, Note
from hanode.core.lifecycle import ENDED, HOST_SENTENCES, LOST, SAFE, HostState
from hanode.core.records import HostRecovery

ACCOUNTED = frozenset({HostState.EVACUATING, HostState.RELEASING})

FEW = 3
"""More alarms of one kind in one tick are told as one: a rack that falls silent must not be forty messages."""


class Event(StrEnum):
    """What can be chosen in [notifications] events."""

    LEADER = "leader"  # this daemon took office
    INCIDENT = "incident"  # a host is taken for failed; its incident ended
    RECOVERED = "recovered"  # every instance of a failed host is accounted for
    NEEDS_OPERATOR = "needs-operator"  # nobody but a person can prove the host dead
    LOST = "lost"  # instances are STUCK or FAILED
    BRAKE = "brake"  # a hold keeps hanode from fencing
    QUARANTINE = "quarantine"  # a power device is not believed
    CHECK = "check"  # the daily `hanode config check` found an error
    ALARM = "alarm"  # any other line of the story at level alarm
    TEST = "test"  # `hanode notify test`


class Phase(StrEnum):
    BEGINS = "begins"
    ENDS = "ends"
    TELLS = "tells"  # happens at a moment, and has no end


@dataclass(frozen=True)
class News:
    """One message. Equal `key`: the same thing, whoever tells it; what a receiver deduplicates and closes by."""

    event: Event
    phase: Phase
    key: str
    level: Level
    text: str
    at: str
    host: str = ""
    incident: str = ""
    is_open: tuple[str, ...] = ()  # of LEADER: the keys of all that is so now; whatever else a receiver has open is over


@dataclass(frozen=True)
class Topic:
    """Something that is so now. Told again, under its key, when `fact` is another than was told."""

    event: Event
    key: str
    level: Level
    text: str
    end: str = ""  # what is said when it is not so any more; "" = nothing
    host: str = ""
    incident: str = ""
    fact: str = ""


TOLD_AS_TOPICS = frozenset({"failed", "needs-operator", "brake", "quarantine", "instance-stuck", "instance-failed"})
"""Alarms of the story that some topic tells better."""


def topics(records: Mapping[str, HostRecovery], holds: Iterable[Hold], quarantined: Mapping[str, str]) -> Mapping[str, Topic]:
    """Everything that is so now, by key."""
    found = [*_of_hosts(records), *_of_holds(holds)]
    found += [Topic(Event.QUARANTINE, f"quarantine/{host}", Level.ALARM, f"{host}: its power device is not believed: {why}",
                    f"{host}: its power device is believed again", host) for host, why in sorted(quarantined.items())]
    return {topic.key: topic for topic in found}


def changes(told: Mapping[str, Topic], now: Mapping[str, Topic], closes: Iterable[Closed], at: str) -> Iterator[News]:
    """What has ended and what has begun since it was told; ends first."""
    outcomes = {f"incident/{closed.record.incident}": closed.outcome for closed in closes}
    for key, topic in told.items():
        if key not in now and topic.end:
            text = f"{topic.end}: {outcomes[key]}" if key in outcomes else topic.end
            yield News(topic.event, Phase.ENDS, key, Level.INFO, text, at, topic.host, topic.incident)
    for key, topic in now.items():
        if key not in told or told[key].fact != topic.fact:
            phase = Phase.BEGINS if topic.end else Phase.TELLS
            yield News(topic.event, phase, key, topic.level, topic.text, at, topic.host, topic.incident)


def alarms(notes: Iterable[Note], at: str) -> Iterator[News]:
    """The alarms of one tick that no topic tells."""
    by_event: dict[str, list[Note]] = {}
    for note in notes:
        if note.level is Level.ALARM and note.event not in TOLD_AS_TOPICS:
            by_event.setdefault(note.event, []).append(note)
    for event, found in by_event.items():
        if len(found) <= FEW:
            yield from (_alarm(note, at) for note in found)
        else:
            hosts = sorted({note.host for note in found})
            text = f"{len(found)} alarms at once, of {', '.join(hosts)}; the first: {found[0].host}: {found[0].text}"
            yield News(Event.ALARM, Phase.TELLS, f"alarm/{event}/several", Level.ALARM, text, at)


def same(news: News) -> tuple[str, str, str]:
    """Equal for news that say the same, seconds and counters aside."""
    return news.key, news.phase, re.sub(r"\d+(\.\d+)?", "N", news.text)


def took_office(node: str, term: int, now: Mapping[str, Topic], at: str) -> News:
    said = ", ".join(topic.key for topic in now.values()) or "nothing"
    return News(Event.LEADER, Phase.TELLS, "leader", Level.INFO, f"{node} leads (term {term}); open now: {said}", at,
                is_open=tuple(key for key, topic in now.items() if topic.end))


def _alarm(note: Note, at: str) -> News:
    key = "/".join(part for part in ("alarm", note.event, note.host, note.incident, note.instance_id) if part)
    where = f"{note.host}: " if note.host else ""
    return News(Event.ALARM, Phase.TELLS, key, Level.ALARM, f"{where}{note.text}", at, note.host, note.incident)


def _of_hosts(records: Mapping[str, HostRecovery]) -> Iterator[Topic]:
    for host, record in sorted(records.items()):
        if record.state is HostState.SUSPECT:
            continue  # may come to nothing, and is then forgotten
        incident, key = record.incident, f"incident/{record.incident}"
        would = "would be fenced (mode observe)" if record.observe_only else "is taken for failed"
        yield Topic(Event.INCIDENT, key, Level.ALARM, f"{host}: {would}: {record.cause or record.reason}", f"{host}: the incident ended",
                    host, incident)
        if record.state is HostState.NEEDS_OPERATOR:
            yield Topic(Event.NEEDS_OPERATOR, f"{key}/needs-operator", Level.ALARM,
                        f"{host}: {HOST_SENTENCES[record.state]}: {record.reason}", f"{host}: no person is needed any more", host, incident)
        yield from _of_instances(record, key)


def _of_instances(record: HostRecovery, key: str) -> Iterator[Topic]:
    entries = record.instances.values()
    lost = sorted(entry.name for entry in entries if entry.state in LOST)
    if lost:
        ids = ",".join(sorted(entry.instance_id for entry in entries if entry.state in LOST))
        yield Topic(Event.LOST, f"{key}/lost", Level.ALARM,
                    f"{record.host}: {len(lost)} instances need you: {', '.join(lost[:FEW])}{', ...' if len(lost) > FEW else ''}",
                    f"{record.host}: no instance is stuck or failed any more", record.host, record.incident, fact=ids)
    if record.state in ACCOUNTED and record.fenced_at and entries and all(entry.state in ENDED for entry in entries):
        safe = sum(entry.state in SAFE for entry in entries)
        yield Topic(Event.RECOVERED, f"{key}/recovered", Level.INFO,
                    f"{record.host}: {safe} of {len(entries)} instances run again, all are accounted for", "", record.host,
                    record.incident, fact=str(safe))


def _of_holds(holds: Iterable[Hold]) -> Iterator[Topic]:
    by_name: dict[str, list[Hold]] = {}
    for hold in holds:
        if hold.kind is not HoldKind.DELAY:  # a new leader that only has to wait is no news
            by_name.setdefault(hold.name, []).append(hold)
    for name, found in sorted(by_name.items()):
        reasons = "; ".join(f"{hold.reason} (ends: {hold.ends})" for hold in found)
        yield Topic(Event.BRAKE, f"brake/{name}", Level.ALARM, f"the brake holds, {name}: {reasons}", f"the brake {name} is released")
