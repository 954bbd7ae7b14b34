"""Would the failure of this host end well? A drill cuts the power of one with only canaries on it; the rest is the ordinary recovery.

This is the only power-off that is sent to a host which is well: on an operator's audited word, once, and only while a complete
reading no older than `proof_s` shows the canaries alone, nothing new can be placed there, no brake holds and no other host is in
trouble. Nothing else is special. It is FAILED when its silence and two readings of off say so, and evacuated behind that proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from hanode.core.decisions import HoldKind, Level, Verdict
from hanode.core.draft import Draft, verdict_of
from hanode.core.facts import Power, Resources, Unknown
from hanode.core.fence import read_table
from hanode.core.judge import Evidence
from hanode.core.lifecycle import DRILL_SENTENCES, ENDED, SAFE, DrillState, HostState, InstanceState, step_drill
from hanode.core.model import Action, ActionKind, Command, Result, WantKind
from hanode.core.policy import MARKER
from hanode.core.records import Drill, HostRecovery

DRILL_MARK = f"{MARKER} drill"
LOOK_S = 1.0
PROVEN = frozenset({HostState.FENCED, HostState.EVACUATING, HostState.RELEASING})
UNWELL = frozenset({Verdict.SUSPECT, Verdict.FAILED, Verdict.UNKNOWN})
Answered = tuple[bool, str]


def begin(draft: Draft, command: Command, _: HostRecovery | None, e: Evidence) -> Answered:
    """The word `drill`, with the canaries that it is about."""
    host = command.host
    other = next(iter(draft.roster.drills.values()), None)
    if other is not None:
        return False, f"the drill of {other.host} is not over ({other.state}): `hanode drill {other.host}` goes on with it, --end ends it"
    if not command.canaries:
        return False, "a drill without canaries proves nothing: name at least one instance that is on it"
    hold = draft.held(host)
    why = _why_not(draft, e) or (f"the brake holds, {hold.name}: {hold.reason}" if hold else "")
    if why:
        return False, f"no drill now: {why}"
    stamp = draft.now.at.partition(".")[0].replace("-", "").replace(":", "").removesuffix("Z")
    canaries, name = tuple(sorted(command.canaries)), f"{host}-drill-{stamp}"
    drill = _save(draft, Drill(host, name, command.who, command.why, draft.now.at, canaries, DrillState.READYING, command.made))
    alone = "its canary alone" if len(drill.canaries) == 1 else f"its {len(drill.canaries)} canaries alone"
    return True, f"its power is cut as soon as a fresh look shows {alone}: {DRILL_SENTENCES[drill.state]}"


def end(draft: Draft, command: Command, _: HostRecovery | None, __: Evidence) -> Answered:
    drill = draft.roster.drills.get(command.host)
    if drill is None:
        return False, "there is no drill of it"
    if drill.state is DrillState.OVER:
        draft.roster = replace(draft.roster, drills={host: other for host, other in draft.roster.drills.items() if host != drill.host})
        return True, "it is over and forgotten"
    if drill.state is not DrillState.ENDING:
        _step(draft, drill, DrillState.ENDING, f"ended by {command.who}: {command.why}")
    return True, DRILL_SENTENCES[DrillState.ENDING]


def drills(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    """Every drill, one step on."""
    for host, drill in sorted(draft.roster.drills.items()):
        e = evidence.get(host)
        if e is not None:  # else nobody could look: nothing is done
            RULES[drill.state](draft, drill, e)


# --------------------------------------------------------------------------- before the off


def _why_not(draft: Draft, e: Evidence) -> str:
    """What speaks against switching this host off on purpose, whoever wants it; "" when nothing does."""
    host, policy, judgement = e.host, draft.policy, draft.verdicts[e.host.name]
    plan, recovery = policy.plan_of(host.name), policy.recovery_of(host)
    troubled = sorted({*draft.records, *(name for name in draft.verdicts if verdict_of(draft, name) in UNWELL)})
    facts = {
        f"it is {judgement.verdict}: {judgement.reason}": judgement.verdict is not Verdict.HEALTHY,
        f"{', '.join(troubled[:3])} must be recovered and taken back first": bool(troubled),
        "people work on it": e.work is not None,
        "mode observe switches nothing off": not draft.may_write(host.name),
        f"its recovery policy is {recovery}, so nothing of it is restarted elsewhere": recovery != "evacuate",
        "no power device is configured for it": not plan.levels,
        f"its power device is not believed: {draft.roster.quarantined.get(host.name)}": host.name in draft.roster.quarantined,
    }
    return next((why for why, speaks in facts.items() if speaks), "")


def _readying(draft: Draft, drill: Drill, e: Evidence) -> None:
    hold = draft.held(drill.host)
    why = _why_not(draft, e)
    if hold and hold.kind is not HoldKind.DELAY:
        why = why or f"the brake holds, {hold.name}: {hold.reason}"
    if why:
        _give_up(draft, drill, why)
        return
    seen = _look(draft, drill, e)
    if seen:
        _give_up(draft, drill, seen)
    elif draft.waited(f"readying/{drill.drill}", draft.policy.boot_s):
        _give_up(draft, drill, f"a complete look at it did not come about within {draft.policy.boot_s:.0f} s{_unread(draft, drill)}")
    elif seen == "" and hold is None:
        drill = _step(draft, _stamp(draft, drill, "cut"), DrillState.CUTTING)
        draft.note(Level.WARNING, "drill", drill.host, f"its power is cut for a drill by {drill.who}: {drill.why}", drill.drill)
        draft.act(replace(_off(drill), until_s=draft.now.s + draft.policy.proof_s), 0.0)


def _look(draft: Draft, drill: Drill, e: Evidence) -> str | None:
    """What is not as it must be on the host before its power may be cut; "" when all is, None while that is not known."""
    service = e.host.service
    if service.status != "disabled":
        reason = f"{DRILL_MARK} by {drill.who}: {drill.why}"
        draft.act(Action(drill.host, ActionKind.DISABLE, drill.drill, service_id=service.service_id, reason=reason), draft.policy.retry_s)
        return None
    # Only a list begun after Nova called it disabled is complete: until then something new may be placed on it.
    since_s = max(draft.since(f"disabled/{drill.drill}"), draft.now.s - draft.policy.proof_s)
    table = read_table(draft, HostRecovery(drill.host, "", HostState.SUSPECT, "", ""), e.host, since_s, LOOK_S)
    servers, migrations = draft.servers(drill.host, LOOK_S, since_s), draft.migrations(drill.host, LOOK_S, since_s)
    held = draft.reading(WantKind.CONSUMPTION, e.host.hypervisor.provider_id if e.host.hypervisor else "", LOOK_S, since_s)
    if table is None or servers is None or migrations is None or held is None or draft.images_unread:
        return None
    strangers = sorted(server.name for key, server in servers.items() if key not in drill.canaries)
    if strangers:
        return f"{', '.join(strangers[:3])} {'is' if len(strangers) == 1 else 'are'} on it, and no canary"
    # Placement knows of an instance before Nova's list does: its host is written only when nova-compute begins to build it.
    building = sorted(cast("Mapping[str, Resources]", held.value).keys() - set(drill.canaries))
    if building:
        return f"Placement holds room on it for {building[0]}, which is no canary: something is being built or moved there"
    coming = sorted(migration.migration_id for migration in migrations if migration.is_open)
    if coming:
        return f"migration {coming[0]} of it is open"
    for canary in drill.canaries:
        if canary not in servers:
            return f"the canary {canary} is not on it"
        if servers[canary].vm_state != "active" or servers[canary].task_state:
            return f"the canary {servers[canary].name} is {servers[canary].task_state or servers[canary].vm_state}, not active"
        if canary not in table or table[canary].state is InstanceState.SKIPPED:
            why = table[canary].reason if canary in table else "it is not ours"
            return f"the canary {servers[canary].name} would not be restarted: {why}"
    return ""


def _unread(draft: Draft, drill: Drill) -> str:
    """What keeps the look from being complete: the same would keep an evacuation waiting."""
    host = draft.host(drill.host)
    provider = host.hypervisor.provider_id if host and host.hypervisor else ""
    keys = {WantKind.SERVERS: drill.host, WantKind.MIGRATIONS: drill.host, WantKind.CONSUMPTION: provider, WantKind.SKIP_IMAGES: ""}
    readings = [draft.snapshot.readings.get(key) for key in keys.items()]
    found = [reading.value.reason for reading in readings if reading and isinstance(reading.value, Unknown)]
    return f": {found[0]}" if found else ""


# --------------------------------------------------------------------------- from the off on


def _off(drill: Drill) -> Action:
    """Of the first level alone: a drill that needs another has found what it was made for."""
    return Action(drill.host, ActionKind.POWER_OFF, drill.drill)


def _cutting(draft: Draft, drill: Drill, e: Evidence) -> None:
    """The off is sent once, whatever becomes of it, and by nobody but the leader who decided it."""
    record = draft.records.get(drill.host)
    if record is not None and record.state in PROVEN:
        drill = _stamp(draft, replace(drill, incident=record.incident), "proven")
        _step(draft, drill, DrillState.RECOVERING)
        return
    if record is not None and record.state is HostState.FENCING and not record.approved:
        draft.save(replace(record, approved=True))  # mode approve: whoever wanted it switched off has said yes to that
    trace = draft.power(drill.host, draft.policy.reading_gap_s)
    if trace is not None and trace.value == Power.OFF:
        drill = _stamp(draft, drill, "off")
    action = _off(drill)
    outcome = draft.outcome(action.action_id)
    if outcome is not None and outcome.result in {Result.REFUSED, Result.UNREACHABLE, Result.NOT_SENT}:
        _give_up(draft, drill, f"its power device did not switch it off ({outcome.result}): {outcome.detail}")
    elif draft.waited(f"cut/{drill.drill}", _patience_s(draft, drill)) and e.beats:
        said = f"{outcome.result}" if outcome else "nobody knows whether it was sent"
        _give_up(draft, drill, f"its power device was told off ({said}), and it goes on reporting")


def _patience_s(draft: Draft, drill: Drill) -> float:
    """How long a host may go on reporting after the off; its last heartbeats are younger than a device that reads off at once."""
    return draft.policy.fence_timeout_s + (draft.policy.fence_settle_s if "off" in drill.stamps else 0.0)


def _recovering(draft: Draft, drill: Drill, e: Evidence) -> None:
    record = draft.records.get(drill.host)
    if record is None:
        drill = _stamp(draft, drill, "released")
        draft.note(Level.WARNING, "drill", drill.host, "the drill is over: it is back in service", drill.drill)
        _step(draft, drill, DrillState.OVER)
        return
    _follow(draft, drill, record, e)


def _follow(draft: Draft, drill: Drill, record: HostRecovery, e: Evidence) -> None:
    """When each phase was over; and the word for its release, which the drill's own word has said already."""
    states = [entry.state for key, entry in record.instances.items() if key in drill.canaries]
    if states and all(state in SAFE | {InstanceState.MOVED} for state in states):
        drill = _stamp(draft, drill, "moved")
    if states and all(state in ENDED for state in states):
        drill = _stamp(draft, drill, "accounted")
    if record.state is HostState.RELEASING and e.beats:
        _stamp(draft, drill, "back")
    if record.state in {HostState.EVACUATING, HostState.RELEASING} and not record.release_asked:
        draft.save(replace(record, release_asked=True))


def _ending(draft: Draft, drill: Drill, e: Evidence) -> None:
    record, service = draft.records.get(drill.host), e.host.service
    if record is not None:
        _follow(draft, drill, record, e)
        return
    # An off that was sent may still take effect: until that is over it is taken for a host that may go down at any moment.
    settled = "cut" not in drill.stamps or draft.waited(f"settle/{drill.drill}", draft.policy.fence_settle_s)
    if not settled or not e.beats or service.state != "up" or service.forced_down:
        return
    if service.status == "disabled" and service.disabled_reason.startswith(DRILL_MARK):
        draft.act(Action(drill.host, ActionKind.ENABLE, drill.drill, service_id=service.service_id), draft.policy.retry_s)
        return
    draft.note(Level.WARNING, "drill", drill.host, f"the drill is over before its end: {drill.reason}", drill.drill)
    _step(draft, drill, DrillState.OVER, drill.reason)


def _over(draft: Draft, drill: Drill, _: Evidence) -> None:
    text = f"a drill of it is over: `hanode drill {drill.host}` tells how it went and takes its canaries away"
    draft.note_once(Level.INFO, "drill-over", drill.host, text, drill.drill)


RULES: Mapping[DrillState, Callable[[Draft, Drill, Evidence], None]] = {
    DrillState.READYING: _readying,
    DrillState.CUTTING: _cutting,
    DrillState.RECOVERING: _recovering,
    DrillState.ENDING: _ending,
    DrillState.OVER: _over,
}


def _give_up(draft: Draft, drill: Drill, why: str) -> None:
    draft.note(Level.ALARM, "drill-failed", drill.host, f"the drill has failed: {why}", drill.drill)
    _step(draft, drill, DrillState.ENDING, why)


def _stamp(draft: Draft, drill: Drill, what: str) -> Drill:
    """When it was first seen to be so."""
    return drill if what in drill.stamps else _save(draft, replace(drill, stamps={**drill.stamps, what: draft.now.at}))


def _step(draft: Draft, drill: Drill, to: DrillState, reason: str = "") -> Drill:
    draft.wake(draft.now.s)
    return _save(draft, replace(drill, state=step_drill(drill.state, to), reason=reason))


def _save(draft: Draft, drill: Drill) -> Drill:
    draft.roster = replace(draft.roster, drills={**draft.roster.drills, drill.host: drill})
    return drill
