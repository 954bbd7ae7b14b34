"""Which instances ran on several hosts that failed lately, so that they may be what kills them? Kept over incidents and leaders.

Each failure is a small record of the roster: which host, what it shares with others, and who ran there. What is left of its time is
written down now and then, on the leader's own clock, as of hosts that flap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hanode.core.decisions import Level
from hanode.core.domains import shared
from hanode.core.draft import Draft
from hanode.core.lifecycle import IN_FLIGHT, TO_DO, HostState, InstanceState
from hanode.core.policy import Policy
from hanode.core.records import Failure, HostRecovery, InstanceRecovery, Roster
from hanode.core.restore import ran

WRITTEN_EVERY_S = 600.0
CLOCK = "failures"

MOST = 5000
"""So many instances are remembered in all, in one key of the journal; of more, the oldest failures are forgotten first."""

ARRIVED = frozenset({InstanceState.MOVED, InstanceState.VERIFIED})


def count(draft: Draft, record: HostRecovery) -> None:
    """It was proven dead, with these instances on it. What was switched off for a drill has not failed."""
    if not draft.policy.repeat_window_s or record.host in draft.roster.drills:
        return
    former = draft.roster.failures.get(record.incident)
    here = frozenset(key for key, entry in record.instances.items() if entry.state not in ARRIVED | {InstanceState.GONE} and ran(entry))
    host = draft.host(record.host)
    failure = Failure(
        record.host,
        shared(host, draft.policy) if host else (),
        here | former.instances if former else here,
        draft.policy.repeat_window_s,
    )
    known = {key: replace(other, left_s=_left_s(draft, other)) for key, other in draft.roster.failures.items()}
    _keep(draft, _bounded({**known, record.incident: failure}))


def run_on(draft: Draft) -> None:
    """Let their time run, once a tick. None is forgotten while an instance waits because of it."""
    failures = draft.roster.failures
    if not failures:
        return
    soonest_s = min((failure.left_s for failure in failures.values() if failure.left_s), default=float("inf"))
    passed_s = draft.now.s - draft.since(CLOCK)
    if passed_s < min(soonest_s, WRITTEN_EVERY_S) and draft.policy.repeat_window_s:
        return
    told = {key for record in draft.records.values() for key, i in record.instances.items() if i.state in TO_DO and i.is_doubted}
    left = {key: replace(failure, left_s=_left_s(draft, failure)) for key, failure in failures.items()}
    _keep(draft, {key: failure for key, failure in left.items() if failure.left_s or failure.instances & told})


def look_back(draft: Draft) -> None:
    """Write down, of everybody who is to be restarted, on which hosts it ran that failed lately."""
    found = _by_instance(draft.roster) if draft.records else {}
    for record in sorted(draft.records.values(), key=lambda record: record.host):
        for entry in record.instances.values():
            goes_alone(draft, record, entry)  # its time runs, whether somebody else wants its host or not
        if record.state is not HostState.EVACUATING:
            continue
        told = {
            key: replace(entry, failed_hosts=_failed_hosts(draft.roster, found.get(key, ()), key, draft.policy))
            for key, entry in record.instances.items()
            if entry.state in TO_DO
        }
        for key, entry in told.items():
            if entry.is_doubted and entry.failed_hosts != record.instances[key].failed_hosts:
                text = f"{entry.name} {in_words(entry.failed_hosts, draft.policy)}"
                draft.note(Level.WARNING, "doubted", record.host, text, record.incident, key)
        if any(record.instances[key] != entry for key, entry in told.items()):
            draft.save(replace(record, instances={**record.instances, **told}))


def if_it_failed(roster: Roster, host: str, ids: Iterable[str], policy: Policy) -> Mapping[str, tuple[str, ...]]:
    """instance id -> the hosts that it would be doubted for, were this one to fail as well; nobody else is in it."""
    found = _by_instance(roster)
    hosts = {key: {*_unshared(roster, found.get(key, ()), key, policy), host} for key in ids}
    return {key: tuple(sorted(names)) for key, names in hosts.items() if len(names) > 1}


def why_kept_back(entry: InstanceRecovery, host: str, policy: Policy) -> str:
    """Why only an operator may restart it; "" when it may go."""
    limit = policy.repeat_limit
    if not limit or entry.vouched or len(entry.failed_hosts) < limit:
        return ""
    command = f"`hanode incident retry {host} {entry.instance_id}`"
    return f"{in_words(entry.failed_hosts, policy)}; when you have looked at it, {command} lets it go"


def goes_alone(draft: Draft, record: HostRecovery, entry: InstanceRecovery) -> bool:
    """On its way, or arrived a moment ago: what it does to its new host is seen before anybody else is sent there."""
    if not entry.is_doubted or entry.state not in IN_FLIGHT | ARRIVED:
        return False
    arrived = entry.state in ARRIVED
    return not (arrived and draft.waited(f"alone/{record.incident}/{entry.instance_id}", draft.policy.repeat_alone_s))


def in_words(hosts: tuple[str, ...], policy: Policy) -> str:
    return f"ran on {', '.join(hosts)}, which failed within {policy.repeat_window_s / 3600:g} h: it may be what kills them"


def _by_instance(roster: Roster) -> Mapping[str, tuple[str, ...]]:
    """instance id -> incidents, of those that stand in more than none."""
    found: dict[str, tuple[str, ...]] = {}
    for incident, failure in sorted(roster.failures.items()):
        for key in failure.instances:
            found[key] = (*found.get(key, ()), incident)
    return found


def _failed_hosts(roster: Roster, incidents: tuple[str, ...], instance_id: str, policy: Policy) -> tuple[str, ...]:
    """Fewer than two tell nothing: some host fails now and then. Once nobody wants to know, whoever waits because of it goes."""
    if not policy.repeat_window_s:
        return ()
    hosts = _unshared(roster, incidents, instance_id, policy) if len(incidents) > 1 else frozenset()
    return tuple(sorted(hosts)) if len(hosts) > 1 else ()


def _unshared(roster: Roster, incidents: tuple[str, ...], instance_id: str, policy: Policy) -> frozenset[str]:
    failures = roster.failures
    return frozenset(failures[key].host for key in incidents if not _is_of_its_rack(failures, key, instance_id, policy))


def _is_of_its_rack(failures: Mapping[str, Failure], incident: str, instance_id: str, policy: Policy) -> bool:
    """Did another host of the same rack, on which it never was, fail at the same time? Then it is not what killed this one."""
    mine = failures[incident]
    return any(
        other.host != mine.host
        and set(other.shared) & set(mine.shared)
        and abs(other.left_s - mine.left_s) <= policy.storm_window_s
        and instance_id not in other.instances
        for other in failures.values()
    )


def _left_s(draft: Draft, failure: Failure) -> float:
    return max(0.0, failure.left_s - (draft.now.s - draft.since(CLOCK))) if draft.policy.repeat_window_s else 0.0


def _bounded(failures: Mapping[str, Failure]) -> Mapping[str, Failure]:
    kept: dict[str, Failure] = {}
    total = 0
    for key, failure in sorted(failures.items(), key=lambda item: (-item[1].left_s, item[0])):
        total += len(failure.instances)
        if total > MOST and kept:
            break
        kept[key] = failure
    return kept


def _keep(draft: Draft, failures: Mapping[str, Failure]) -> None:
    draft.roster = replace(draft.roster, failures=dict(sorted(failures.items())))
    draft.restart_wait(CLOCK)
