"""What is known of each host at this moment? All of them are asked after; only those that give a reason to are looked at.

In a large cloud nearly every host is calm: Nova shows that it reports and that nobody has marked it, and nothing that we remember of it
speaks against that. Its verdict follows from the reading alone (`_by_sight`), once for each poll; its evidence is put together
only for whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from hanode.core import accounts
from hanode.core.crash import with_crash
from hanode.core.decisions import Beat, Judgement, Trace, Verdict
from hanode.core.draft import Draft
from hanode.core.facts import Fleet, Host, Power, Reading
from hanode.core.judge import Evidence, exemption, healthy, idle_s, why_not_protected
from hanode.core.levels import host_and_level
from hanode.core.lifecycle import IN_FLIGHT, HostState, InstanceState
from hanode.core.model import WantKind
from hanode.core.once import once_with
from hanode.core.policy import Policy
from hanode.core.readiness import read_off
from hanode.core.records import HostRecovery, Roster
from hanode.core.suspicion import quiet_after_s

AWAITING = IN_FLIGHT | {InstanceState.STUCK}

NAMED = "named/"
"""How the wait of a host begins that an operator has named."""


class Evidences(Mapping[str, Evidence]):
    """Of every host that Nova shows, in order; `close` are those that are looked at, the others are calm."""

    def __init__(self, close: Mapping[str, Evidence], by_sight: Mapping[str, Judgement], of_calm: Callable[[str], Evidence]) -> None:
        self.close = close
        self._by_sight, self._of_calm = by_sight, of_calm
        self._asked: dict[str, Evidence] = {}

    @property
    def verdicts(self) -> dict[str, Judgement]:
        """Of all of them, in order."""
        return {**self._by_sight, **{name: e.judgement for name, e in self.close.items()}}

    def __getitem__(self, host: str) -> Evidence:
        found = self.close.get(host) or self._asked.get(host)
        if found is None:
            if host not in self._by_sight:
                raise KeyError(host)
            found = self._asked[host] = self._of_calm(host)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_sight)

    def __len__(self) -> int:
        return len(self._by_sight)

    def __contains__(self, host: object) -> bool:
        return host in self._by_sight


def gather(draft: Draft) -> Evidences:
    fleet, reading = draft.fleet, draft.snapshot.readings.get((WantKind.FLEET, ""))
    if fleet is None or reading is None:
        return Evidences({}, {}, _nobody)
    hosts, looked_s, roster, awaited = fleet.hosts, reading.started_s, draft.roster, _awaited(draft)
    # In a quiet cloud the next decision comes with the next poll, for which nothing of this one is of use.
    passing = _in_passing(reading, draft.policy, roster) if draft.records or draft.powered else {}

    def of_calm(name: str) -> Evidence:
        """As it was when all others were looked at, whatever this tick has decided since."""
        return Evidence(hosts[name], draft.timers.beats[name], looked_s, looked_s, draft.policy, roster)

    by_sight, others = _by_sight(reading, draft.timers.beats, draft.policy, roster.seen)
    remarkable = sorted(others | (_remarkable(draft) & hosts.keys()))
    close = {name: _evidence_of(draft, hosts[name], looked_s, name in awaited, passing) for name in remarkable}
    return Evidences(close, by_sight, of_calm)


def _nobody(host: str) -> Evidence:
    raise KeyError(host)


@once_with
def _by_sight(
    reading: Reading[object], beats: Mapping[str, Beat], policy: Policy, seen: frozenset[str]
) -> tuple[Mapping[str, Judgement], frozenset[str]]:
    """The verdict on every host that Nova shows, in order, as `judge` gives it of what is known without looking closer; and of whom it
    does not follow so: these are judged by their evidence."""
    assert isinstance(reading.value, Fleet), "asked of a fleet that could be read"
    quiet_s, looked_s = quiet_after_s(policy), reading.started_s
    found: dict[str, Judgement] = {}
    others = set()
    for name, host in sorted(reading.value.hosts.items()):
        beat = beats[name]
        silent_s = max(0.0, looked_s - beat.seen_s)
        if host.service.is_in_order and beat.moved and silent_s < quiet_s and name in seen and why_not_protected(host, policy) is None:
            found[name] = healthy(silent_s)
        else:
            found[name] = _NOT_BY_SIGHT
            others.add(name)
    return found, frozenset(others)


_NOT_BY_SIGHT = Judgement(Verdict.UNKNOWN, "not judged by its evidence yet")


def _remarkable(draft: Draft) -> set[str]:
    """Hosts of which anything is known beside what Nova shows of them that could lead to another verdict, or to a closer look."""
    roster, timers = draft.roster, draft.timers
    named = {wait.removeprefix(NAMED) for wait in timers.waits if wait.startswith(NAMED)}
    off = {host_and_level(key)[0] for key, trace in timers.power.items() if trace.value == Power.OFF}
    off |= {host for host, check in timers.checks.items() if check.says_off}
    return {*draft.records, *roster.maintenance, *roster.drills, *roster.held, *roster.spares, *named, *off}


@once_with
def _in_passing(reading: Reading[object], policy: Policy, roster: Roster) -> dict[str, Evidence]:  # noqa: ARG001 - what they rest on
    """Filled as they come: hosts at which nobody looks more closely are the same from one poll of Nova to the next."""
    return {}


def _awaited(draft: Draft) -> frozenset[str]:
    """Hosts that may be building an instance of another: should one fall silent, only its proven death lets us ask elsewhere."""
    entries = [entry for record in draft.records.values() for entry in record.instances.values()]
    return frozenset(entry.target for entry in entries if entry.state in AWAITING)


def _evidence_of(draft: Draft, host: Host, looked_s: float, awaited: bool, passing: dict[str, Evidence]) -> Evidence:
    name, record = host.name, draft.records.get(host.name)
    beat = draft.beat(name)
    assert beat is not None, "remember() keeps a beat of every host of the fleet"
    named = is_named(draft, name)
    suspected = record is not None and record.state is HostState.SUSPECT
    empty = suspected and not awaited and record is not None and not accounts.recoverable(record.instances)
    known = passing.get(name) if record is None and not named else None
    if known is not None and known.beat is beat:
        e = known
    elif record is None and not named:
        e = passing[name] = Evidence(host, beat, looked_s, looked_s, draft.policy, draft.roster)
    else:
        e = Evidence(host, beat, looked_s, draft.now.s, draft.policy, draft.roster, record=record, named=named, empty=empty)
    every_s = _attention(e)
    if every_s is None and e.beats and _has_read_off(draft, name):
        every_s = draft.policy.reading_gap_s  # it reports and has read off: either it came back, or the device lies
    if every_s is None:
        return e
    witnessed = _witnessed(draft, record, name, every_s)
    e = replace(e, now_s=draft.now.s, power=draft.power(name, every_s), probes=draft.probes(name, every_s), witnessed=witnessed)
    return with_crash(draft, e, every_s)


def _has_read_off(draft: Draft, host: str) -> bool:
    return any(trace.value == Power.OFF for trace in draft.power_traces(host).values()) or read_off(draft, host)


def _witnessed(draft: Draft, record: HostRecovery | None, name: str, every_s: float) -> Mapping[tuple[str, str], Trace]:
    """Of a host that only waits to be taken back nothing is at stake: witnesses are asked while something is."""
    if record is not None and record.state is HostState.RELEASING:
        return {}
    return draft.witnessed(name, every_s)


def is_named(draft: Draft, host: str) -> bool:
    """For named_s after an operator named it, and at least until it is being fenced."""
    begun_s = draft.timers.waits.get(f"{NAMED}{host}")
    if begun_s is None or draft.now.s - begun_s > draft.policy.named_s:
        return False
    draft.since(f"{NAMED}{host}")
    return True


def _attention(e: Evidence) -> float | None:
    """How often its power and probe are read; None for a host that gives no reason to look."""
    state = e.record.state if e.record else HostState.WATCHED
    if state in {HostState.FENCED, HostState.EVACUATING, HostState.RELEASING}:
        return 10.0
    if state in {HostState.FENCING, HostState.NEEDS_OPERATOR} or e.named:
        return e.policy.reading_gap_s
    if (e.beats and not e.is_quiet) or exemption(e):
        return None
    old_news = e.host.name in e.roster.held and e.silent_s >= e.policy.fence_after_s
    return idle_s(e.policy) if old_news or e.host.name not in e.roster.seen else e.policy.reading_gap_s
