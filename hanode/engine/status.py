"""What does the leader publish for operators? One small mapping, the same for the CLI, the log's STATUS line and the demo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hanode.core.decisions import Decisions, Sign, Timers, Verdict
from hanode.core.domains import shared
from hanode.core.facts import Aggregate, Fleet, Host
from hanode.core.levels import power_key
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Moment
from hanode.core.policy import Policy
from hanode.core.promise import sentence
from hanode.core.records import HostRecovery, Roster
from hanode.core.restore import ran
from hanode.core.signals import probe_key
from hanode.engine.forecast import recovering
from hanode.engine.ledger import Guard
from hanode.engine.reasons import SKIPPED, WAITING, reason_class

QUIET = frozenset({Verdict.HEALTHY, Verdict.EXEMPT})
NOT_DOWN = frozenset({InstanceState.VERIFIED, InstanceState.RETURNED, InstanceState.SKIPPED, InstanceState.GONE})


def published(
    decisions: Decisions,
    records: Mapping[str, HostRecovery],
    roster: Roster,
    fleet: Fleet | None,
    policy: Policy,
    guard: Guard,
    node: str,
    now: Moment,
    rows: Rows | None = None,
) -> dict[str, Any]:
    """`rows` are those of the same leader's last time."""
    hosts, rows = fleet.hosts if fleet else {}, rows or Rows()
    return {
        "leader": {"owner": guard.owner, "host_id": node, "term": guard.term, "renewed_at": now.at},
        "mode": policy.mode,
        "holds": [{"name": h.name, "reason": h.reason, "ends": h.ends} for h in decisions.holds],
        "hosts": {name: rows.row(name, decisions, records, hosts, policy) for name in sorted({*hosts, *records})},
        "exempt": {name: j.reason for name, j in decisions.verdicts.items() if j.verdict is Verdict.EXEMPT},
        "needs_operator": sorted(name for name, r in records.items() if r.state is HostState.NEEDS_OPERATOR),
        "quarantined": dict(roster.quarantined),
        "unprotected": dict(decisions.readiness.unprotected),
        "muted": {host: mute.words for host, mute in roster.muted.items()},
        "unchecked": decisions.readiness.unchecked,
        "cuts": {name: r.cut_text for name, r in records.items() if r.cut is not None},
        "cuts_overdue": sorted(decisions.overdue_cuts),
        "capacity": [{"question": one.question, "holds": one.holds, "text": "" if one.holds else sentence(one)}
                     for one in decisions.timers.capacity or ()],
        "instances": dict(sorted(Counter(str(i.state) for r in records.values() for i in r.instances.values()).items())),
        "down": _down(records),
        "recovering": recovering(records, (judgement.verdict for judgement in decisions.verdicts.values()), policy),
        "waiting": _reasons(records, InstanceState.WAITING, WAITING),
        "skipped": _reasons(records, InstanceState.SKIPPED, SKIPPED),
        "poll_s": policy.poll_s,
        "updated_at": now.at,
    }


class Rows:
    """What is published of a host of which there is nothing to tell is made once, as long as nothing that it is made of changes."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Verdict, str, tuple[Aggregate, ...], dict[str, Any]]] = {}
        self._policy: Policy | None = None

    def row(
        self, name: str, decisions: Decisions, records: Mapping[str, HostRecovery], hosts: Mapping[str, Host], policy: Policy
    ) -> dict[str, Any]:
        judgement, host = decisions.verdicts.get(name), hosts.get(name)
        if judgement is None or host is None or judgement.verdict not in QUIET or name in records:
            self._made.pop(name, None)
            return _host(name, decisions, records, hosts, policy)
        if policy is not self._policy:
            self._made, self._policy = {}, policy
        verdict, zone, aggregates = judgement.verdict, host.service.zone, host.aggregates
        known = self._made.get(name)
        # By identity: comparing the aggregates of ten thousand hosts costs more than making their rows.
        if known is not None and known[0] is verdict and known[2] is aggregates and known[1] == zone:
            return known[3]
        made = _host(name, decisions, records, hosts, policy)
        self._made[name] = (verdict, zone, aggregates, made)
        return made


def _host(name: str, decisions: Decisions, records: Mapping[str, HostRecovery], hosts: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    judgement, record, host = decisions.verdicts.get(name), records.get(name), hosts.get(name)
    domain = policy.domain_of(host) if host else None
    verdict = judgement.verdict if judgement else Verdict.UNKNOWN
    found: dict[str, Any] = {
        "verdict": str(verdict),
        "reason": judgement.reason if judgement and verdict not in QUIET else "",
        "state": str(record.state) if record else str(HostState.WATCHED),
        "incident": record.incident if record else "",
        "zone": host.service.zone if host else "",
        "domain": domain.name if domain else "",
        "shares": list(shared(host, policy)) if host else [],
        "fenceable": bool(policy.plan_of(name).levels),
    }
    if name in decisions.waits_for:
        found["waits_for"] = decisions.waits_for[name]
    if verdict not in QUIET or record:
        found["evidence"] = _evidence(name, decisions, host, policy)
        if record is not None and record.cut is not None:
            found["evidence"]["disks"] = record.cut_text
        found["signals"] = [_sign(sign) for sign in decisions.signs.get(name, ())]
    return found


def _down(records: Mapping[str, HostRecovery]) -> dict[str, Any]:
    """How many instances do not run because their host failed, and since when the first of them."""
    failed = [r for r in records.values() if r.state is not HostState.SUSPECT]
    down = [(r, i) for r in failed for i in r.instances.values() if i.state not in NOT_DOWN and ran(i)]
    return {"instances": len(down), "since": min((r.opened_at for r, _ in down), default="")}


def _reasons(records: Mapping[str, HostRecovery], state: InstanceState, classes: Mapping[str, str]) -> dict[str, int]:
    found = (reason_class(i.reason, classes) for r in records.values() for i in r.instances.values() if i.state is state)
    return dict(sorted(Counter(found).items()))


def _power(name: str, timers: Timers, policy: Policy) -> str:
    count = len(policy.plan_of(name).levels)
    traces = {level: timers.power.get(power_key(name, level)) for level in range(1, count + 1)}
    said = {level: f"{trace.value}, {trace.count} times" for level, trace in traces.items() if trace}
    return "; ".join(f"level {level}: {text}" if count > 1 else text for level, text in said.items())


def _probes(name: str, timers: Timers, policy: Policy) -> str:
    traces = {network: timers.probe.get(probe_key(network, name)) for network in policy.networks}
    said = {network: f"{trace.value}, {trace.count} times" for network, trace in traces.items() if trace}
    return "; ".join(f"{network}: {text}" if len(traces) > 1 else text for network, text in said.items())


def _sign(sign: Sign) -> dict[str, Any]:
    age_s = None if sign.age_s is None else round(sign.age_s, 1)
    return {"signal": sign.name, "seen_by": sign.seen_by or "leader", "said": sign.said, "age_s": age_s, "times": sign.times,
            "counts_for": sign.counts_for}


def _evidence(name: str, decisions: Decisions, host: Any, policy: Policy) -> dict[str, Any]:
    timers = decisions.timers
    service = host.service if host else None
    return {
        "service": service.state if service else "not shown by Nova",
        "last_heartbeat": service.updated_at if service else "",
        "forced_down": service.forced_down if service else False,
        "power": _power(name, timers, policy) or "not read",
        "probe": _probes(name, timers, policy) or "not asked",
    }


def summary(status: Mapping[str, Any], records: Mapping[str, HostRecovery]) -> str:
    """One line that a person understands."""
    verdicts = Counter(h["verdict"] for h in status["hosts"].values())
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    open_now = ", ".join(f"{r.host} {r.state}" for r in records.values())
    holds = ", ".join(h["name"] for h in status["holds"])
    parts = [f"leader (term {status['leader']['term']}), mode {status['mode']}", counted, open_now, f"brake: {holds}" if holds else ""]
    return "; ".join(part for part in parts if part)
