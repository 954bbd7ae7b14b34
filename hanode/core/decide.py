"""The one entry point: facts, records, memory, policy and now -> decisions. Pure and deterministic.

remember -> gather evidence -> judge each -> brake all -> obey operators -> one rule per recovery -> new suspicions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hanode.core import flapping, pause, repeats, spares
from hanode.core.agent import start_again
from hanode.core.brake import ANSWERING, SILENT, brake
from hanode.core.commands import obey, obey_for_all
from hanode.core.cutting import keep_cuts, watch_stores
from hanode.core.decisions import PROOF_FREES, Decisions, Hold, HoldKind, Judgement, Level, Timers, Verdict
from hanode.core.draft import Draft, verdict_of
from hanode.core.drain import Moving
from hanode.core.drill import drills
from hanode.core.evacuate import evacuating, watch_instances
from hanode.core.failback import move_back
from hanode.core.fence import fencing, needs_operator, open_suspicion, suspect, tell_nova
from hanode.core.gather import AWAITING, gather, is_named
from hanode.core.handover import hand_over
from hanode.core.home import back_from_suspicion, releasing
from hanode.core.judge import AGENT_DOWN_MARK, Evidence, is_set_aside
from hanode.core.keep import keep_circumstances
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.maintenance import maintain
from hanode.core.members import watch_members
from hanode.core.model import Action, ActionKind, Moment, Snapshot, WantKind
from hanode.core.policy import MARKER, Policy
from hanode.core.posting import post_all
from hanode.core.promise import watch_capacity
from hanode.core.quarantine import doubt_devices
from hanode.core.readiness import watch_devices
from hanode.core.records import HostRecovery, Records
from hanode.core.remember import remember
from hanode.core.survey import survey
from hanode.core.weigh import weigh

WELL = frozenset({Verdict.HEALTHY, Verdict.EXEMPT})


def decide(snapshot: Snapshot, records: Records, timers: Timers, policy: Policy, now: Moment) -> Decisions:
    """Everything that follows from what is known now.

    `timers` is what the same leader decided last time (or fresh ones when it took office); `now.s` is on the clock of the
    readings. The result's records must be committed before its actions are performed.
    """
    draft = Draft(snapshot, records, remember(timers, snapshot, records.hosts, policy, now.s), policy, now)
    draft.want(WantKind.FLEET, "", policy.poll_s)
    evidence = gather(draft)
    doubt_devices(draft, evidence)
    draft.verdicts = evidence.verdicts
    _know_the_living(draft, evidence.close)
    obey_for_all(draft)
    pause.run_on(draft)
    flapping.run_on(draft)
    repeats.run_on(draft)
    draft.holds = brake(survey(draft, evidence.close, now.s - timers.office_since_s))
    _hold_the_silent(draft)
    obey(draft, evidence)
    keep_cuts(draft)
    _recover(draft, evidence)
    _watch(draft, evidence.close)
    moving = Moving(draft)
    maintain(draft, evidence, moving)
    move_back(draft, evidence, moving)
    drills(draft, evidence)
    spares.look_after(draft)
    watch_members(draft)
    watch_devices(draft)
    watch_stores(draft)
    watch_capacity(draft)
    _tell(draft, evidence.close)
    left_for = hand_over(draft, evidence.close)
    troubled = [name for name in evidence.close if draft.verdicts[name].verdict not in WELL]
    unwell = {name: evidence[name] for name in sorted({*troubled, *(draft.records.keys() & evidence.keys())})}
    signs = {name: weigh(replace(e, now_s=now.s) if e.now_s != now.s else e, draft.timers.power) for name, e in unwell.items()}
    return draft.decisions(left_for, signs)


def _know_the_living(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    living = [name for name, e in evidence.items() if e.beats and e.host.service.state is not None]
    news = {name for name in living if name not in draft.roster.seen}
    # A new leader sees "up" for as long as Nova waits (service_down_time): only a heartbeat that it saw itself frees a host.
    freed = {name for name in draft.roster.held.keys() & set(living) if evidence[name].beat.moved}
    if news or freed:
        held = {name: why for name, why in draft.roster.held.items() if name not in freed}
        draft.roster = replace(draft.roster, seen=draft.roster.seen | news, held=held)


def _hold_the_silent(draft: Draft) -> None:
    """Whoever is silent while a hold holds stays held when it ends: a hold never ends into a shooting."""
    held = dict(draft.roster.held)
    if not held and not draft.holds:
        return
    for host, judgement in draft.verdicts.items():
        began_s = draft.peek(f"held/{host}")
        if host in held and began_s is not None:
            draft.since(f"held/{host}")
        hold, record = _strongest(draft, host), draft.records.get(host)
        untouched = record is None or record.state is HostState.SUSPECT
        if hold is None or not untouched or is_named(draft, host):
            continue
        newly = judgement.verdict in {Verdict.SUSPECT, Verdict.FAILED} and host not in held
        recent = began_s is not None and draft.now.s - began_s <= draft.policy.fence_after_s
        if newly or (host in held and _takes_over(hold, held[host], recent)):
            held[host] = f"{hold.kind}:{hold.name}"
            draft.since(f"held/{host}")
            draft.verdicts[host] = Judgement(Verdict.HELD, f"fell silent under the hold {hold.name}: {hold.reason}")
    draft.roster = replace(draft.roster, held=dict(sorted(held.items())))


def _strongest(draft: Draft, host: str) -> Hold | None:
    """Of the holds that protect it, the one that lets go of it last; a delay holds nobody."""
    ranked = (HoldKind.OPERATOR, HoldKind.CONTROL_PLANE, HoldKind.STORM, HoldKind.DOUBT)
    found = [hold for hold in draft.holds if hold.kind in ranked and hold.fences and hold.covers(host)]
    return min(found, key=lambda hold: ranked.index(hold.kind), default=None)


def _takes_over(hold: Hold, former: str, recent: bool) -> bool:
    """Is a host that one hold holds already held by this one from now on?"""
    if hold.kind is HoldKind.STORM:
        return former.startswith(PROOF_FREES)  # it was silent when we came: who knows since when
    if hold.kind is not HoldKind.CONTROL_PLANE:
        return False
    # The storm was the first sign of this hold; a storm of last week has nothing to do with it.
    return former.startswith(HoldKind.CONTROL_PLANE) or (recent and former.startswith(HoldKind.DOUBT))


def _recover(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    for text in draft.timers.pace.closed:
        draft.note(Level.WARNING, "pace", "", text)
    for name in sorted(draft.records):
        record, e = draft.records[name], evidence.get(name)
        if e is None and draft.fleet is None:
            continue  # the brake says why nothing is known
        unsettled = any(i.state in AWAITING | {InstanceState.MOVED} or (i.ours and not i.unlocked) for i in record.instances.values())
        if e is None:
            draft.note_once(Level.WARNING, "unseen", name, "Nova does not show it now: its recovery waits", record.incident)
            if unsettled:
                watch_instances(draft, record, None)  # what is under way ends somewhere, and is followed
            continue
        if unsettled and record.state in {HostState.FENCING, HostState.NEEDS_OPERATOR}:
            record = watch_instances(draft, record, e)  # its evacuations end while it is fenced again
        if record.state is HostState.SUSPECT:
            _suspected(draft, record, e)
        elif record.state is HostState.FENCING:
            fencing(draft, record, e)
        elif record.state is HostState.NEEDS_OPERATOR:
            needs_operator(draft, record, e)
        elif record.state is HostState.FENCED:
            tell_nova(draft, record, e)
        elif record.state is HostState.EVACUATING:
            evacuating(draft, record, e)
        elif record.state is HostState.RELEASING:
            releasing(draft, record, e)
    post_all(draft, evidence)
    keep_circumstances(draft, evidence)


def _suspected(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    verdict = verdict_of(draft, record.host)
    if verdict is Verdict.HEALTHY:
        back_from_suspicion(draft, record)
    elif verdict is Verdict.EXEMPT and is_set_aside(e):
        # An administrator looks after the host; what ran on it is promised to come back all the same (S8).
        if e.beats and not e.host.service.forced_down:
            back_from_suspicion(draft, record)
    elif verdict is Verdict.EXEMPT and not e.empty:
        draft.forget(record)
    else:
        suspect(draft, record, e)


def _watch(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    for name, e in evidence.items():
        if name in draft.records and draft.records[name].state is not HostState.SUSPECT:
            continue
        verdict = verdict_of(draft, name)
        if name not in draft.records and verdict in SILENT and name in draft.roster.seen:
            open_suspicion(draft, e)
        if verdict in ANSWERING:
            _shield(draft, e, verdict)
            if verdict is Verdict.AGENT_DOWN:
                start_again(draft, e)
        elif verdict is Verdict.HEALTHY and e.host.service.disabled_reason.startswith(AGENT_DOWN_MARK):
            _unshield(draft, e)
        if e.host.service.disabled_reason.startswith(MARKER) and name not in draft.records and not e.work and verdict is Verdict.EXEMPT:
            draft.note_once(
                Level.ALARM,
                "stale-mark",
                name,
                f"carries our marker, but the journal knows nothing of it: nothing is done before `hanode host release {name}`",
            )


def _shield(draft: Draft, e: Evidence, verdict: Verdict) -> None:
    """A dead nova-compute hurts no guest, and a lost network is not mended by killing them; only nothing new shall land there."""
    service = e.host.service
    if service.status != "enabled" or e.silent_s < draft.policy.fence_after_s:
        return
    if any(h.kind is HoldKind.CONTROL_PLANE for h in draft.holds):
        return  # all look silent then, and disabling all of them would leave no target when the control plane is back
    answers = "the host answers" if verdict is Verdict.AGENT_DOWN else f"the host answers only on {e.where}"
    reason = f"{AGENT_DOWN_MARK}: {answers}, its nova-compute is silent"
    draft.act(
        Action(e.host.name, ActionKind.DISABLE, f"agent-down-{e.host.name}", service_id=service.service_id, reason=reason),
        draft.policy.retry_s,
    )


def _unshield(draft: Draft, e: Evidence) -> None:
    """Back in service as after any failure (S7): its nova-compute may have ended in the middle of an evacuation to it."""
    name = e.host.name
    migrations = draft.migrations(name, 3.0, draft.since(f"agent-back/{name}"))
    if migrations is None:
        return
    building = sorted(m.migration_id for m in migrations if m.kind == "evacuation" and m.is_open)
    if building:
        text = (
            f"reports again, and is not enabled yet: evacuation records {', '.join(building[:5])} to it are open; if nobody works on"
            f" them any more, `openstack compute service set --enable {name} nova-compute` ends this"
        )
        draft.note_once(Level.WARNING, "agent-waits", name, text)
        return
    action = Action(name, ActionKind.ENABLE, f"agent-down-{name}", service_id=e.host.service.service_id)
    if draft.act(action, draft.policy.retry_s):
        draft.note(Level.INFO, "agent-back", name, "its service reports again: enabled")


LEVELS = {
    Verdict.FAILED: Level.ALARM,
    Verdict.AGENT_DOWN: Level.ALARM,
    Verdict.PARTITIONED: Level.ALARM,
    Verdict.HELD: Level.ALARM,
    Verdict.SUSPECT: Level.WARNING,
    Verdict.UNKNOWN: Level.WARNING,
}


def _tell(draft: Draft, close: Iterable[str]) -> None:
    spoken_of = {subject.removeprefix("verdict/").removesuffix("/") for subject in draft.timers.said if subject.startswith("verdict/")}
    for name in sorted({*close, *(spoken_of & draft.verdicts.keys())}):
        judgement = draft.verdicts[name]
        record = draft.records.get(name)
        if record is not None and record.state is not HostState.SUSPECT:
            continue  # of a host in recovery the recovery itself tells
        first = judgement.verdict is not Verdict.HEALTHY
        if not first and draft.said_of("verdict", name) is None:
            continue  # nothing else was ever said of it: most hosts
        level = LEVELS.get(judgement.verdict, Level.INFO)
        draft.note_change(level, "verdict", name, judgement.verdict, f"{judgement.verdict}: {judgement.reason}", first)
    names = ", ".join(h.name for h in draft.holds)
    text = "; ".join(f"{h.name}: {h.reason} (ends: {h.ends})" for h in draft.holds)
    level = Level.ALARM if any(h.kind is not HoldKind.DELAY for h in draft.holds) else Level.INFO
    draft.note_change(level, "brake", "", names, f"brake holds: {text}" if names else "brake released: hosts are fenced again", bool(names))
