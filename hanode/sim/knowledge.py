"""Did a leader act against what it knew at that moment? Judged from what each tick had read, never from what it made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanode.core.decisions import Verdict
from hanode.core.facts import Access, Power
from hanode.core.levels import power_key
from hanode.core.lifecycle import HostState
from hanode.core.model import Action, ActionKind
from hanode.core.records import HostRecovery, ProofKind
from hanode.core.signals import probe_key
from hanode.core.stores import store_key
from hanode.sim.evidence import Evidence, Tick, Violation
from hanode.sim.world import Condition

NEWS_S = 15.0
"""A reading no older than this was known to the tick as news."""

TROUBLED = frozenset({HostState.FENCING, HostState.NEEDS_OPERATOR, HostState.FENCED})


def acted_on_what_it_knew(evidence: Evidence) -> Iterator[Violation]:
    """S2 and S4: no person is believed, and no host told off, against a sign of life that was seen; and nobody shoots in a storm."""
    yield from posted_by_fresh_proof(evidence)
    yield from spared_sick_storage(evidence)
    for index, tick in enumerate(evidence.ticks):
        for answer in tick.decisions.answers:
            sign = _sign_of_life(answer.command.host, tick, evidence) if answer.accepted else ""
            if answer.command.verb == "confirm-fenced" and sign:
                yield Violation("S2", tick.time_s, f"{answer.command.host} is taken for dead on a person's word although {sign}")
        for action in tick.decisions.actions:
            if action.kind in {ActionKind.POWER_OFF, ActionKind.CUT}:
                yield from _shot_rightly(action, tick, evidence.ticks[: index + 1], evidence)


def _shot_rightly(action: Action, tick: Tick, so_far: Sequence[Tick], evidence: Evidence) -> Iterator[Violation]:
    host, sign = action.host, _sign_of_life(action.host, tick, evidence)
    spared = host in evidence.may_be_fenced_alive or canaries_of(host, tick.time_s, so_far) is not None
    if sign and not spared and not was_fenced(host, tick.time_s, so_far):
        yield Violation("S4", tick.time_s, f"{tick.node} decides to tell {host} off although {sign}")
    troubled = sorted(_troubled(tick, so_far))
    protected = sum(1 for judgement in tick.decisions.verdicts.values() if judgement.verdict is not Verdict.EXEMPT)
    named = f"named/{host}" in tick.decisions.timers.waits
    if len(troubled) > evidence.policy.brake_limit(protected) and not named:
        yield Violation("S4", tick.time_s, f"{tick.node} decides to tell {host} off while {', '.join(troubled)} are suspect or being"
                                           f" fenced, which looks like something else than dead hosts")


def _sign_of_life(host: str, tick: Tick, evidence: Evidence) -> str:
    """What the newest readings said, in words; empty when they were silent."""
    timers = tick.decisions.timers
    now_s = max((beat.looked_s or beat.seen_s for beat in timers.beats.values()), default=0.0)
    beat = timers.beats.get(host)
    on_networks = {probe_key(network, host) for network in evidence.policy.networks}
    for key, probe in timers.probe.items():
        if key in on_networks and probe.value == "answers" and now_s - probe.last_s <= NEWS_S:
            return "it answers the probe"
    for (witness, key), seen in timers.witnessed.items():
        if key in on_networks and seen.value == "answers" and now_s - seen.last_s <= NEWS_S:
            return f"it answers {witness}"
    if beat and beat.moved and now_s - beat.seen_s < evidence.policy.suspect_after_s:
        return f"its service reported {now_s - beat.seen_s:.0f} s ago"
    return ""


def _troubled(tick: Tick, so_far: Sequence[Tick]) -> Iterator[str]:
    for host, judgement in tick.decisions.verdicts.items():
        record = latest_record(host, tick.time_s, so_far)
        silent = judgement.verdict in {Verdict.SUSPECT, Verdict.FAILED} and (record is None or record.state is HostState.SUSPECT)
        if silent or (record is not None and record.state in TROUBLED):
            yield host


def posted_by_fresh_proof(evidence: Evidence) -> Iterator[Violation]:
    """S2: each POST is decided by a reading of off that began within `proof_s`, unless the proof is a person's word.

    Beside the judge of the world this leaves no leeway: who was switched on since then could not be known, and anybody else was.
    """
    proof_s = evidence.policy.proof_s
    for tick in evidence.ticks:
        for action in tick.decisions.actions:
            record = next((written for written in tick.decisions.writes if written.host == action.host), None)
            if action.kind is not ActionKind.EVACUATE or record is None or (record.proof and record.proof.kind is ProofKind.PERSON):
                continue
            if record.proof and record.proof.kind is ProofKind.STORAGE:
                yield from _posted_by_fresh_cut(action, record, tick, proof_s)
                continue
            level = record.proof.level if record.proof else 1
            read = tick.decisions.timers.power.get(power_key(action.host, level))
            decided_s = action.until_s - proof_s
            if read is None or read.value != Power.OFF or decided_s - read.last_s > proof_s:
                said = f"{read.value} {decided_s - read.last_s:.1f} s ago" if read else "nothing"
                yield Violation("S2", tick.time_s, f"{tick.node} decides to evacuate {action.name} while the newest reading of"
                                                   f" {action.host} is {said}")


def _posted_by_fresh_cut(action: Action, record: HostRecovery, tick: Tick, proof_s: float) -> Iterator[Violation]:
    """The same of a host that is only cut off: its store has said so twice in a row, and within `proof_s`."""
    read = tick.decisions.timers.access.get(store_key(record.cut.domain, action.host)) if record.cut else None
    decided_s = action.until_s - proof_s
    if read is None or read.value != Access.CUT or read.count < 2 or decided_s - read.last_s > proof_s:
        said = f"{read.value}, {read.count} times, {decided_s - read.last_s:.1f} s ago" if read else "nothing"
        yield Violation("S2", tick.time_s, f"{tick.node} decides to evacuate {action.name} while its store says of {action.host}: {said}")


def spared_sick_storage(evidence: Evidence) -> Iterator[Violation]:
    """S4: while a store is sick for so long that its health command must have said so, nothing is posted and nobody shot on silence."""
    world, policy = evidence.world, evidence.policy
    known_s = policy.health_every_s + policy.health_timeout_s + NEWS_S
    events = [event for event in world.log if event.kind == "storage" and event.subject in policy.health_checked]
    for tick in evidence.ticks:
        latest = {event.subject: event for event in events if event.time_s <= tick.time_s}
        sick = {domain for domain, event in latest.items() if not event.text.endswith(Condition.WORKS)}
        # A change from one sickness to another begins the time anew, which only spares hanode.
        sick = {domain for domain in sick if tick.time_s - latest[domain].time_s > known_s}
        for action in tick.decisions.actions:
            by_silence = action.kind is ActionKind.POWER_OFF and f"named/{action.host}" not in tick.decisions.timers.waits
            if world.hosts[action.host].domain.name in sick and (by_silence or action.kind is ActionKind.EVACUATE):
                whom = action.name or action.host
                yield Violation("S4", tick.time_s, f"{tick.node} decides to {action.kind} {whom}, whose store is sick")


def canaries_of(host: str, time_s: float, ticks: Sequence[Tick]) -> frozenset[str] | None:
    """The instances of the host that an operator gave for a drill which goes on at that moment; None while there is none."""
    found: frozenset[str] | None = None
    for tick in ticks:
        if tick.time_s > time_s:
            break
        for answer in tick.decisions.answers:
            if answer.accepted and answer.command.host == host and answer.command.verb in {"drill", "end-drill"}:
                found = frozenset(answer.command.canaries) if answer.command.verb == "drill" else None
    return found


# --------------------------------------------------------------------------- records as they were


def latest_record(host: str, time_s: float, ticks: Sequence[Tick]) -> HostRecovery | None:
    """The record of the host as the ticks up to then left it."""
    latest: HostRecovery | None = None
    for tick in ticks:
        if tick.time_s > time_s:
            break
        ended = {closed.record.host for closed in tick.decisions.closes} | set(tick.decisions.forgets)
        latest = None if host in ended else latest
        latest = next((written for written in tick.decisions.writes if written.host == host), latest)
    return latest


def was_fenced(host: str, time_s: float, ticks: Sequence[Tick]) -> bool:
    """Past the point of no return a host that shows life is fenced again."""
    record = latest_record(host, time_s, ticks)
    incident = record.incident if record else ""
    return any(written.state is HostState.FENCED for tick in ticks if tick.time_s <= time_s
               for written in tick.decisions.writes if written.host == host and written.incident == incident)
