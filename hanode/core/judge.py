"""Is this host alive, dead, or none of our business? One host's evidence -> a verdict with its reason.

The rules are asked in order; the first that speaks decides. The order is the safety: what forbids shooting comes
before what allows it, and only the last two rules say FAILED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from hanode.core.decisions import PROOF_FREES, Beat, Judgement, Trace, Verdict
from hanode.core.facts import Host, Power
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.once import once
from hanode.core.policy import MARKER, Policy
from hanode.core.records import HostRecovery, Maintenance, Roster
from hanode.core.signals import listed
from hanode.core.suspicion import quiet_after_s, suspect_after_s


@dataclass(frozen=True)
class Evidence:
    """All that is known of one host at one moment."""

    host: Host
    beat: Beat
    looked_s: float  # when the newest reading of its service began
    now_s: float
    policy: Policy
    roster: Roster = Roster()
    power: Trace | None = None  # None: no device, or one that is not believed
    probes: Mapping[str, Trace] = field(default_factory=dict)  # network -> what the host said there; missing: not asked yet
    witnessed: Mapping[tuple[str, str], Trace] = field(default_factory=dict)  # (standby, network) -> what it sees from where it stands
    crash: Mapping[str, Trace] = field(default_factory=dict)  # who listens ("": we) -> does its kernel say that it crashes
    crash_since_s: float | None = None  # when that was first heard in this silence
    record: HostRecovery | None = None
    named: bool = False  # an operator named this host
    empty: bool = False  # a complete read shows no instance that we would recover

    @once
    def work(self) -> Maintenance | None:
        """What people do on it now, as far as they have told us."""
        return self.roster.maintenance.get(self.host.name)

    @once
    def silent_s(self) -> float:
        """For how long its heartbeat had not moved when we last looked; never counts time in which we could not look."""
        return max(0.0, self.looked_s - self.beat.seen_s)

    @once
    def is_quiet(self) -> bool:
        """Silent for so long that it is worth reading its power, whether or not that is usual for it."""
        return self.silent_s >= quiet_after_s(self.policy)

    @once
    def beats(self) -> bool:
        """Its own rhythm counts for as long as nothing proves it dead."""
        seen_alive = self.host.service.state == "up" or self.beat.moved
        if not self.is_quiet:
            return seen_alive  # no rhythm is quicker than that: most hosts, in most ticks
        if self.reads_off:
            return False
        return seen_alive and self.silent_s < suspect_after_s(self.beat, self.policy)

    @once
    def unasked(self) -> frozenset[str]:
        """Networks over which it was not asked yet."""
        return frozenset(self.policy.networks) - self.probes.keys()

    @once
    def answering(self) -> frozenset[str]:
        """Where it answers itself; one of them is enough to live."""
        return frozenset(network for network, trace in self.probes.items() if self._recent(trace, "answers"))

    @once
    def heard_by(self) -> Mapping[tuple[str, str], Trace]:
        """Who else hears it. That a witness hears nothing is no evidence: who knows why."""
        return {seen: trace for seen, trace in self.witnessed.items() if self._recent(trace, "answers")}

    @once
    def answers(self) -> bool:
        return bool(self.answering or self.heard_by)

    @property
    def where(self) -> str:
        """Over which networks it is heard, and by whom if not by us."""
        others = {network: listed(by for by, where in self.heard_by if where == network) for _, network in self.heard_by}
        return listed([*self.answering, *(f"{network} (heard by {by})" for network, by in others.items() if network not in self.answering)])

    @once
    def deaf(self) -> frozenset[str]:
        """Networks on which it was silent, twice in a row: a lost packet is no evidence."""
        return frozenset(network for network, trace in self.probes.items() if self._recent(trace, "silent") and trace.count >= 2)

    @once
    def probed_silent(self) -> bool:
        """On every network: behind one that could not be looked at it may live."""
        return bool(self.policy.networks) and self.deaf >= set(self.policy.networks)

    def answered_since(self, since_s: float) -> bool:
        traces = (*self.probes.values(), *self.witnessed.values())
        return any(trace.value == "answers" and trace.last_s >= since_s for trace in traces)

    @once
    def reads_off(self) -> bool:
        """Two readings of exactly off, apart: positive proof of death."""
        trace = self.power
        return self._recent(trace, Power.OFF) and trace is not None and trace.twice(self.policy.reading_gap_s)

    @once
    def crash_heard_by(self) -> frozenset[str]:
        """Who goes on hearing that its kernel crashes; never a sign of life, nor of death."""
        return frozenset(by for by, trace in self.crash.items() if self._recent(trace, "answers"))

    def _recent(self, trace: Trace | None, value: str) -> bool:
        return trace is not None and trace.value == value and self.now_s - trace.last_s <= recent_s(self.policy)

    @once
    def lives(self) -> bool:
        return self.beats or self.answers

    @once
    def judgement(self) -> Judgement:
        return judge(self)


def recent_s(policy: Policy) -> float:
    """A reading of a suspect older than this says nothing about now."""
    return max(3 * policy.reading_gap_s, policy.proof_s) + policy.report_interval_s


IDLE_S = 15.0


def idle_s(policy: Policy) -> float:
    """How often a silent host is looked at of which nothing new is expected; its last reading counts until the next one is there."""
    return min(IDLE_S, 0.75 * recent_s(policy))


UNTOLD = frozenset({HostState.SUSPECT, HostState.FENCING, HostState.NEEDS_OPERATOR})


def why_not_protected(host: Host, policy: Policy) -> str | None:
    """Why this host is none of our business, whatever becomes of it, by what it is and where it stands; None: it is."""
    kind = host.hypervisor.kind if host.hypervisor else None
    if kind is None:
        return "Nova has no hypervisor record of it"
    if kind not in policy.hypervisor_kinds:
        return f"hypervisor type {kind} is not in hypervisor_kinds: its machines live elsewhere"
    if host.name in policy.own_hosts:
        return "hanode itself runs on it"
    if policy.protected_aggregates and not any(a.name in policy.protected_aggregates for a in host.aggregates):
        return "in no protected aggregate"
    if policy.recovery_of(host) == "none":
        return "its recovery policy is none"
    return None


def exemption(e: Evidence) -> str | None:
    """Why this host is none of our business, or None. Asked before anything else, and only while nothing was done to it."""
    host, policy, service = e.host, e.policy, e.host.service
    reason = why_not_protected(host, policy)
    if reason:
        return reason
    ours = service.disabled_reason.startswith(MARKER)
    if service.forced_down and (e.record is None or (e.record.state in UNTOLD and not e.record.fenced_at)):
        whose = "our marker without a record" if ours else "an operator did it"
        return f"forced down and not by us now ({whose}): to evacuate it type `hanode host evacuate {host.name}`"
    if e.work is not None and e.work.is_drained:
        return f"drained for maintenance by {e.work.who}: {e.work.why}"
    worked_on = e.work is not None or host.name in e.roster.drills
    if e.record is None and ours and not worked_on and not service.disabled_reason.startswith(AGENT_DOWN_MARK):
        return f"disabled with our marker but without a record: to take it back type `hanode host release {host.name}`"
    by_itself = service.disabled_reason.startswith("AUTO: ")  # libvirt's own doing
    # A spare in use is ours until it is seen empty after it was disabled: something may have been put on it meanwhile.
    theirs = service.status == "disabled" and not ours and not by_itself and host.name not in e.roster.spares
    if theirs and policy.in_reserve(host) and not policy.protect_disabled:
        return f"kept in reserve ({service.disabled_reason or 'no reason given'}): it is enabled when nothing else fits"
    if theirs and not policy.protect_disabled:
        return f"disabled by somebody else ({service.disabled_reason or 'no reason given'})"
    if e.empty and not e.lives:
        return f"no instance on it that we would recover{_skipped(e)}"
    return None


def is_set_aside(e: Evidence) -> bool:
    """Exempt for nothing but an administrator's mark in Nova, which he will take off again: still a host of ours."""
    bare = replace(e.host.service, status="enabled", disabled_reason="", forced_down=False)
    return exemption(replace(e, host=replace(e.host, service=bare))) is None


def _skipped(e: Evidence) -> str:
    entries = e.record.instances.values() if e.record else ()
    named = [f"{i.name} {i.reason}" for i in entries if i.state is InstanceState.SKIPPED]
    more = f"; and {len(named) - 3} more" if len(named) > 3 else ""
    return f" ({'; '.join(named[:3])}{more})" if named else ""


AGENT_DOWN_MARK = f"{MARKER} agent-down"
MAINTENANCE_MARK = f"{MARKER} maintenance"

Rule = Callable[[Evidence], Judgement | None]


def _exempt(e: Evidence) -> Judgement | None:
    reason = None if e.named else exemption(e)
    return Judgement(Verdict.EXEMPT, reason) if reason else None


def _unreadable(e: Evidence) -> Judgement | None:
    if e.host.service.state is None:
        return Judgement(Verdict.UNKNOWN, "its Nova cell does not answer")
    return None


def _beating(e: Evidence) -> Judgement | None:
    if e.beats:
        return healthy(e.silent_s)
    return None


def healthy(silent_s: float) -> Judgement:
    return _healthy(f"{silent_s:.0f}")


@lru_cache(maxsize=1024)
def _healthy(silent: str) -> Judgement:
    """One for all hosts of which it is said: in a large cloud it is said of nearly all, each few seconds."""
    return Judgement(Verdict.HEALTHY, f"its service reported {silent} s ago")


def _held(e: Evidence) -> Judgement | None:
    if e.named:
        return None
    if e.host.name not in e.roster.seen and not e.answers:
        return Judgement(Verdict.HELD, "no leader has ever seen it up")
    hold = e.roster.held.get(e.host.name)
    if hold is None:
        return None
    if hold.startswith(PROOF_FREES) and e.reads_off and not e.answers:
        return None  # proven dead: a hold that rests on doubt does not keep a corpse; the brake says when it ends
    return Judgement(
        Verdict.HELD,
        f"fell silent under the hold {hold}: it is judged again once seen up, or when you type `hanode brake release {e.host.name}`",
    )


def _fence_living(e: Evidence) -> Judgement | None:
    if not e.answers:
        return None
    if _may_fence_living(e) and e.host.service.state == "down" and e.silent_s >= e.policy.fence_after_s:
        return Judgement(Verdict.FAILED, f"service silent for {e.silent_s:.0f} s; the host answers, but fence_living_hosts is set for it")
    return None


def _partitioned(e: Evidence) -> Judgement | None:
    if not (e.answers and e.deaf):
        return None
    return Judgement(
        Verdict.PARTITIONED,
        f"service silent for {e.silent_s:.0f} s; it answers on {e.where} and from here not on {listed(e.deaf)}: cut off, not dead",
    )


def _answering(e: Evidence) -> Judgement | None:
    if not e.answers:
        return None
    by = "" if e.answering else f" on {e.where}"
    crash = "its kernel says that it crashes: what answers may be the crash kernel"
    well = crash if e.crash_heard_by else "nothing is wrong with its guests"
    return Judgement(Verdict.AGENT_DOWN, f"service silent for {e.silent_s:.0f} s, but the host itself answers{by}: {well}")


def _may_fence_living(e: Evidence) -> bool:
    return any(a.name in e.policy.fence_living_aggregates for a in e.host.aggregates)


def _proven_off(e: Evidence) -> Judgement | None:
    if e.reads_off and e.is_quiet:
        return Judgement(Verdict.FAILED, f"service silent for {e.silent_s:.0f} s and its power device reads off twice")
    return None


def _no_sign_of_life(e: Evidence) -> Judgement | None:
    long_enough = e.silent_s >= e.policy.fence_after_s and e.host.service.state == "down"
    crashed = e.crash_since_s is not None and e.silent_s >= e.policy.kdump_fence_after_s
    if e.probed_silent and (long_enough or crashed):
        power = e.power.value if e.power else "no device"
        more = "" if e.crash_since_s is None else ", and its kernel has said that it crashes"
        return Judgement(Verdict.FAILED, f"no sign of life: service silent for {e.silent_s:.0f} s, {_probes(e)}, power {power}{more}")
    return None


def _suspect(e: Evidence) -> Judgement:
    said = f"service silent for {e.silent_s:.0f} s, power {e.power.value if e.power else 'not read yet'}, "
    if e.unasked:
        return Judgement(Verdict.SUSPECT, said + _probes(e))
    blind = listed(network for network, trace in e.probes.items() if trace.value == "unknown")
    if blind == listed(e.policy.networks):
        return Judgement(Verdict.SUSPECT, said + "and no independent probe of it: it is not fenced without one")
    if blind:
        return Judgement(Verdict.SUSPECT, said + f"{_probes(e)}: it is not fenced while {blind} cannot be asked")
    return Judgement(Verdict.SUSPECT, said + f"{_probes(e)}: not yet certain")


def _probes(e: Evidence) -> str:
    """What was heard over each of its networks; a single one needs no name."""
    said = {network: e.probes[network].value if network in e.probes else "not asked yet" for network in e.policy.networks}
    if len(said) == 1:
        return f"probe {next(iter(said.values()))}"
    return "probes " + ", ".join(f"{network} {value}" for network, value in sorted(said.items()))


RULES: tuple[Rule, ...] = (_exempt, _unreadable, _beating, _held, _fence_living, _partitioned, _answering, _proven_off, _no_sign_of_life)


def judge(e: Evidence) -> Judgement:
    """The verdict on one host: the first rule that speaks, else SUSPECT."""
    for rule in RULES:
        found = rule(e)
        if found is not None:
            return found
    return _suspect(e)
