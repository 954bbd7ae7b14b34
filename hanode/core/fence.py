"""How is a silent host made certainly dead? SUSPECT, FENCING, NEEDS_OPERATOR and FENCED, one function each.

The order of the questions in `fencing` is the safety: does it live? may we shoot? is it off already? only then: off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hanode.core import accounts, cutting, flapping, levels, repeats
from hanode.core.contradiction import has_settled, settling, signs_of_life
from hanode.core.crash import is_dumping
from hanode.core.decisions import OBSERVED, Level, Verdict
from hanode.core.draft import EVACUATIONS_S, ROOM_S, Draft, verdict_of
from hanode.core.facts import Host, Power, Resources
from hanode.core.judge import AGENT_DOWN_MARK, Evidence, is_set_aside, recent_s
from hanode.core.lifecycle import HostState
from hanode.core.model import Action, ActionKind, Result, WantKind
from hanode.core.offs import give_way, learn_of_off, off_action, patience_s, power_on_action, try_text, why_not_off
from hanode.core.policy import MARKER, FencePlan
from hanode.core.records import HostRecovery, InstanceRecovery, Proof, ProofKind
from hanode.core.stores import by_storage, store_of

NOT_READ: Mapping[str, Resources] = {}
"""What the instances of a host hold, while Placement has not told."""

PERSONS_DOUBT = ": only a person said that it was dead; if nobody has restarted it since, its guests run twice: switch it off NOW"

ALIVE = frozenset({Verdict.HEALTHY, Verdict.AGENT_DOWN, Verdict.PARTITIONED})


def open_suspicion(draft: Draft, e: Evidence) -> None:
    """A host fell silent: write down its servers and their states before anything is done (and whatever comes of it)."""
    since_s = draft.since(f"silent/{e.host.name}")
    instances = read_table(draft, HostRecovery(e.host.name, "", HostState.SUSPECT, "", ""), e.host, since_s, 10.0)
    if instances is None:
        return
    stamp = draft.now.at.partition(".")[0].replace("-", "").replace(":", "").removesuffix("Z")
    draft.save(
        HostRecovery(
            host=e.host.name,
            incident=f"{e.host.name}-{stamp}",
            state=HostState.SUSPECT,
            reason="fell silent",
            opened_at=draft.now.at,
            recovery=draft.policy.recovery_of(e.host),
            last_beat_at=e.host.service.updated_at,
            service_id=e.host.service.service_id,
            instances=instances,
            instances_read=True,
        )
    )


def read_table(draft: Draft, record: HostRecovery, host: Host, since_s: float, every_s: float) -> dict[str, InstanceRecovery] | None:
    """The record's instance table by a complete read begun at or after `since_s`; None while there is none."""
    servers = draft.servers(host.name, every_s, since_s)
    skip_images = draft.skip_images(300.0)
    consumed = draft.consumption(host, 30.0) or NOT_READ
    if servers is None or skip_images is None:
        return None
    domain = draft.policy.domain_of(host)
    name = domain.name if domain else ""
    first = {key: accounts.account(server, name, consumed, draft.policy, skip_images) for key, server in servers.items()}
    return dict(accounts.table(record.instances, servers, first, untouched=record.state is HostState.SUSPECT))


def suspect(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    verdict = verdict_of(draft, record.host)
    prepare(draft, e.host)
    # The host may have been back since this record began, and other servers may have come: each silence is read anew.
    since_s = draft.since(f"silent/{record.host}")
    known = draft.reading(WantKind.SERVERS, record.host, 10.0, since_s) is not None
    instances = read_table(draft, record, e.host, since_s, 10.0 if known else 1.0)
    if instances is not None:
        record = draft.save(replace(record, instances=instances))
    if verdict is not Verdict.FAILED or draft.held(record.host, e.named):
        return
    cause = draft.verdicts[record.host].reason
    observe_only = not draft.may_write(record.host)
    draft.save(
        replace(record, state=HostState.FENCING, reason=cause, cause=cause, proof=None, observe_only=observe_only, **new_round(record))
    )
    said = "would be powered off now (mode observe)" if observe_only else "is taken for failed and will be made certain to be off"
    draft.note(Level.ALARM, "failed", record.host, f"{said}: {cause}", record.incident)


def prepare(draft: Draft, host: Host) -> None:
    """Read now what the evacuation will need, so that it need not wait for it after the fence."""
    draft.room(ROOM_S)
    draft.evacuations(EVACUATIONS_S)
    draft.skip_images(300.0)
    draft.consumption(host, 30.0)
    draft.migrations(host.name, 5.0)


def fencing(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    verdict = verdict_of(draft, record.host)
    prepare(draft, e.host)
    record = cutting.learn_of_cut(draft, learn_of_off(draft, record))
    cutting.prepare(draft, record, e.host)
    told = bool(record.fenced_at)  # from then on a write of ours to its service may be on its way, whatever Nova shows
    if record.observe_only and draft.may_write(record.host):
        # Armed since: from here on it is an incident like any other, judged and braked anew before anything is done.
        draft.save(replace(record, observe_only=False, proof=None))
    elif _shows_life(verdict, e) and not record.is_open:
        _lives(draft, record, e)
    elif verdict is Verdict.EXEMPT and not record.off_may_have_reached and not record.cut and not record.is_open and not told:
        reason = draft.verdicts[record.host].reason
        draft.note(Level.WARNING, "exempt", record.host, f"is left alone: {reason}", record.incident)
        if is_set_aside(e) and not record.observe_only:
            _look_after(draft, record, f"exempt before any power-off: {reason}")
        else:
            draft.close(record, f"exempt before any power-off: {reason}")
    elif record.observe_only:
        _observe(draft, record, e)
    elif draft.policy.mode_of(e.host) == "approve" and not record.approved:
        text = f"waits for your approval: `hanode incident approve {record.host}`"
        draft.note_once(Level.ALARM, "approve", record.host, text, record.incident)
    elif e.reads_off and not e.lives:
        fenced(draft, record, _proof(draft, e))
    elif record.cut_tries and _is_cut_off(draft, record, e):
        _cut_off(draft, record)
    else:
        _shoot(draft, record, e, verdict)


def _shows_life(verdict: Verdict, e: Evidence) -> bool:
    return verdict in ALIVE or (verdict is Verdict.EXEMPT and e.lives)


def fenced(draft: Draft, record: HostRecovery, proof: Proof) -> HostRecovery:
    said = "cut off from its disks" if proof.kind is ProofKind.STORAGE else "proven dead"
    draft.note(Level.WARNING, "fenced", record.host, f"is {said}: {proof.text}", record.incident)
    draft.restart_wait(f"proof/{record.incident}")
    flapping.count(draft, record.host)
    repeats.count(draft, record)
    return draft.save(replace(record, state=HostState.FENCED, reason=f"{said}: {proof.text}", proof=proof, fenced_at=draft.now.at))


def _is_cut_off(draft: Draft, record: HostRecovery, e: Evidence) -> bool:
    """A cut is no sign of death, as off is: so the host must be judged failed by this very leader too, and unheld."""
    failed = verdict_of(draft, record.host) is Verdict.FAILED and not e.lives
    return cutting.stands(draft, record) and failed and not draft.held(record.host, e.named)


def _cut_off(draft: Draft, record: HostRecovery, how: str = "") -> None:
    """Proven by its store: from here on the cut is kept up, and only who is wholly there is restarted elsewhere."""
    assert record.cut is not None, "it stands"
    fenced(draft, replace(record, cut=replace(record.cut, stood=True)), cutting.proof_of(draft, record, how))


def power_takes_over(draft: Draft, record: HostRecovery, e: Evidence) -> HostRecovery:
    """Its power device answers after all and reads off twice: the proof that lets everybody go. The cut stays until the release."""
    if not by_storage(record) or not e.reads_off or e.lives:
        return record
    proof = _proof(draft, e, " after all")
    draft.note(Level.WARNING, "fenced", record.host, f"is proven off: {proof.text}", record.incident)
    draft.restart_wait(f"proof/{record.incident}")
    return draft.save(replace(record, proof=proof))


def _proof(draft: Draft, e: Evidence, how: str = "") -> Proof:
    """By the devices of one level, which are the ones that are read again before each batch of evacuations."""
    level = e.power.level if e.power else 1
    several = len(draft.policy.plan_of(e.host.name).levels) > 1
    text = f"its power devices of level {level} read" if several else "its power device read"
    return Proof(ProofKind.DEVICE, f"{text} exactly off twice{how}", draft.now.at, level)


def _observe(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    if e.reads_off and record.proof is None:
        draft.save(replace(record, proof=_proof(draft, e)))


def _lives(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    """It shows life: no off is sent to it. If one may still arrive at a device, what it shows now proves little."""
    if record.observe_only:
        right = "right, it had been off" if record.proof else "WRONG, the host lives"
        draft.note(Level.WARNING, "observed", record.host, f"would have been fenced: {right}", record.incident)
        draft.close(record, f"{OBSERVED}{right}")
        return
    if record.fenced_at or e.host.service.disabled_reason.startswith(MARKER):
        draft.note(Level.ALARM, "alive", record.host, "lives again: what Nova was told is taken back", record.incident)
        draft.save(replace(record, state=HostState.RELEASING, reason="lives again"))
        return
    if record.cut is not None:
        # Nothing of it was ever restarted elsewhere: its disks are its own.
        if cutting.lift(draft, record, "lives, and nothing of it was restarted elsewhere"):
            return
        record = draft.records[record.host]
    if not record.off_may_have_reached:
        draft.note(Level.ALARM, "false-alarm", record.host, "lives again before anything was done to it", record.incident)
        _look_after(draft, record, "lives: no power-off can have reached it")
        return
    settle = settling(record)
    begun_s, settled_s = draft.since(settle), draft.since(settle) + draft.policy.fence_settle_s
    record = give_way(draft, record)
    trace = draft.power(record.host, draft.policy.reading_gap_s)
    believed = record.host not in draft.roster.quarantined
    is_on = trace is not None and trace.value == Power.ON and trace.last_s >= settled_s and trace.twice(draft.policy.reading_gap_s)
    if draft.waited(settle, draft.policy.fence_settle_s) and draft.beats_since(record.host, begun_s) and (is_on or not believed):
        draft.note(
            Level.ALARM, "survived", record.host, "was sent a power-off and lives: its power device is wrong or lies", record.incident
        )
        _look_after(draft, record, "lives although a power-off was sent: check its power device")
        return
    waits = "waiting for it to settle"
    if has_settled(draft, record):
        said = trace.value if trace else "nothing"
        waits = f"its power device reads {said} and must read on twice, or type `hanode incident abandon {record.host}`"
    text = f"lives although a power-off may still reach it: {waits}"
    draft.note_once(Level.ALARM, "alive", record.host, text, record.incident)


def _look_after(draft: Draft, record: HostRecovery, why: str) -> None:
    """It lives, but it may have booted since: its guests are watched and started as after any reboot, then the incident ends."""
    draft.save(replace(record, state=HostState.SUSPECT, reason=why, approved=False, **new_round(record)))


def _shoot(draft: Draft, record: HostRecovery, e: Evidence, verdict: Verdict) -> None:
    policy = draft.policy
    hold = draft.held(record.host, e.named)
    # A host that shows life while an evacuation from it is open is shot nevertheless: two guests would write one disk.
    if hold or (verdict is not Verdict.FAILED and not record.is_open):
        why = f"hold {hold.name}: {hold.reason}" if hold else f"judged {verdict} now"
        draft.note_once(Level.WARNING, "fence-waits", record.host, f"no power-off: {why}", record.incident)
        return
    plan = policy.plan_of(record.host)
    if not plan.levels:
        _without_power(draft, record, e, "it is switched off by hand" if plan.by_hand else "no power device is configured for it")
    elif record.host in draft.roster.quarantined:
        _without_power(draft, record, e, f"its power device is not believed: {draft.roster.quarantined[record.host]}")
    elif is_dumping(draft, record, e):
        return
    elif not record.offs or record.outlived:
        if not _has_slot(draft):
            text = f"waits: {policy.max_fencing} hosts are being fenced, max_fencing allows no more"
            draft.note_once(Level.WARNING, "fence-queue", record.host, text)
            return
        _off(draft, replace(record, **{**new_round(record), "offs": ("",)}), plan)
    else:
        _follow_off(draft, record, e, plan)


def _without_power(draft: Draft, record: HostRecovery, e: Evidence, why: str) -> None:
    """Every power device has failed, or there is none: its store, where the operator allows that, and then a person."""
    if not cutting.cut_off(draft, record, e, has_slot=bool(record.offs and not record.outlived) or _has_slot(draft)):
        _ask_operator(draft, record, why + cutting.why_not(record, store_of(draft.policy, e.host)))


def _has_slot(draft: Draft) -> bool:
    """May one more host be told off, or be cut off? One counts from the first order of a round until it is proven, left to a person, or
    outlived it."""
    told = sum(1 for r in draft.records.values() if r.state is HostState.FENCING and (r.offs or r.cut) and not r.outlived)
    return told < draft.policy.max_fencing


def _off(draft: Draft, record: HostRecovery, plan: FencePlan) -> None:
    """The intent is committed in the same tick before the off is sent: no leader can have sent one that is not written."""
    action = off_action(record, plan)
    draft.save(replace(record, reason=try_text(action, plan)))
    draft.act(replace(action, until_s=draft.now.s + draft.policy.proof_s), 0.0)


def _follow_off(draft: Draft, record: HostRecovery, e: Evidence, plan: FencePlan) -> None:
    action = off_action(record, plan)
    sent, outcome = f"sent/{action.action_id}", draft.outcome(action.action_id)
    if action.action_id in draft.snapshot.in_flight:
        draft.since(sent)
        return
    if outcome is None:
        # Another leader wrote this attempt; whether it was sent nobody knows. An off is idempotent and was judged anew.
        if draft.peek(sent) is None:
            _off(draft, replace(record, offs=(*record.offs[:-1], "")), plan)
        else:
            draft.since(sent)
        return
    if not draft.waited(sent, patience_s(draft.policy, outcome, levels.another_is_next(plan, record))):
        return
    if levels.is_exhausted(plan, record, draft.policy.fence_attempts):
        _without_power(draft, record, e, why_not_off(outcome, plan))
    else:
        _off(draft, replace(record, offs=(*record.offs, "")), plan)


def _ask_operator(draft: Draft, record: HostRecovery, why: str) -> None:
    by_hand = draft.policy.plan_of(record.host).by_hand
    text = f"cannot be proven off ({why}): {by_hand or 'make sure that it is dead'}, then type `hanode host confirm-fenced {record.host}`"
    draft.note(Level.ALARM, "needs-operator", record.host, text, record.incident)
    draft.save(replace(record, state=HostState.NEEDS_OPERATOR, reason=f"{why}: {by_hand}" if by_hand else why))


def needs_operator(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    prepare(draft, e.host)
    if _shows_life(verdict_of(draft, record.host), e) and not record.is_open:
        _lives(draft, record, e)
    elif e.reads_off and not e.lives:
        fenced(draft, record, _proof(draft, e, " after all"))
    elif _is_cut_off(draft, record, e):
        _cut_off(draft, record, " after all")
    elif Result.UNREACHABLE in record.offs and _answers_again(draft, record) and _has_slot(draft):
        draft.note(Level.WARNING, "device-back", record.host, "its power device answers again: fencing is tried anew", record.incident)
        draft.save(replace(record, state=HostState.FENCING, reason="its power device answers again", **new_round(record)))
    elif cutting.may_try_again(draft, record, e.host) and _has_slot(draft):
        draft.note(Level.WARNING, "device-back", record.host, "its store can be asked: fencing is tried anew", record.incident)
        draft.save(replace(record, state=HostState.FENCING, reason="its store can be asked", **new_round(record)))


def _answers_again(draft: Draft, record: HostRecovery) -> bool:
    """It had been silent: a device that answered readings all the while would refuse the next off as well."""
    unreachable = f"unreachable/{record.incident}/{record.fence_attempt}"
    begun_s, long_ago = draft.since(unreachable), draft.waited(unreachable, draft.policy.boot_s)
    on = [trace for trace in draft.power_traces(record.host).values() if trace.value == Power.ON]
    return any(trace.since_s > begun_s or long_ago for trace in on)


def confirm(draft: Draft, record: HostRecovery, who: str, why: str) -> None:
    """A person says that it is dead; the caller has made sure that no signal lives."""
    on = levels.signs_of_life(draft.policy.plan_of(record.host), draft.power_traces(record.host), 0)
    overrules = any(draft.now.s - trace.last_s <= recent_s(draft.policy) for trace in on)
    text = f"confirmed by {who}{', although its power device reads on' if overrules else ''}: {why}"
    proof = Proof(ProofKind.PERSON, text, draft.now.at, overrules=overrules)
    if record.state is HostState.NEEDS_OPERATOR:
        fenced(draft, record, proof)
        return
    # It was proven dead before, and its device has fallen silent since: from here on the word stands for the readings.
    draft.note(Level.WARNING, "fenced", record.host, f"is dead: {text}", record.incident)
    draft.restart_wait(f"proof/{record.incident}")
    draft.save(replace(record, proof=proof))


def fence_again(draft: Draft, record: HostRecovery, sign: str) -> None:
    """The source lives while evacuations from it are open: shoot it again, or ask the person who said that it was dead."""
    by_person = record.proof is not None and record.proof.kind is ProofKind.PERSON
    doubt = PERSONS_DOUBT if by_person else ""
    draft.note(Level.ALARM, "source-alive", record.host, f"was proven dead, but {sign}{doubt}", record.incident)
    state = HostState.NEEDS_OPERATOR if by_person else HostState.FENCING
    draft.save(replace(record, state=state, reason=f"shows life: {sign}", proof=None, **new_round(record)))


def new_round(record: HostRecovery) -> dict[str, Any]:
    """Fence from the beginning; attempts go on being counted, so that no old outcome is taken for a new one."""
    return {"offs": (), "offs_before": record.fence_attempt, "outlived": False, "cut_tries": ()}


def tell_nova(draft: Draft, record: HostRecovery, e: Evidence) -> None:
    """FENCED: forced_down first, then disable: the other order makes Nova call the dead host (api.py `_update_compute_provider_status`)."""
    record = power_takes_over(draft, record, e)
    sign = signs_of_life(draft, record, e)
    if sign:
        fence_again(draft, record, sign)
        return
    prepare(draft, e.host)
    draft.want(WantKind.FLEET, "", 0.5)
    service = e.host.service
    force_down = Action(record.host, ActionKind.FORCE_DOWN, record.incident, service_id=service.service_id)
    told = draft.outcome(force_down.action_id)
    # Nova has written it before it answers: nobody waits for the next reading of the services.
    if not service.forced_down and not (told and told.result is Result.DONE):
        draft.act(force_down, draft.policy.retry_s)
        return
    mark(draft, record, e.host)
    if record.recovery == "restart":
        _restart_in_place(draft, record)
        return
    # Only a list begun after forced_down is complete: until then Nova may still have been placing servers here. Of a host that is
    # fenced again, only one begun after the new proof: an older one shows here, half rebuilt, who has moved away since.
    since_s = max(draft.since(f"forced/{record.incident}"), draft.since(f"proof/{record.incident}"))
    instances = read_table(draft, record, e.host, since_s, 0.5)
    if instances is None:
        return
    draft.save(replace(record, state=HostState.EVACUATING, reason="restarting its instances elsewhere", instances=instances))
    draft.note(Level.WARNING, "evacuating", record.host, f"instances to account for: {len(instances)}", record.incident)


def mark(draft: Draft, record: HostRecovery, host: Host) -> None:
    """Disable it with our marker, unless an operator's own reason stands there."""
    service = host.service
    theirs = not service.disabled_reason.startswith(("AUTO: ", AGENT_DOWN_MARK))
    if service.status == "disabled" and theirs:
        return
    reason = f"{MARKER} failed {record.incident}"
    draft.act(Action(host.name, ActionKind.DISABLE, record.incident, service_id=service.service_id, reason=reason), draft.policy.retry_s)


def _restart_in_place(draft: Draft, record: HostRecovery) -> None:
    """Local disks: the host was proven off, so it may be switched on; its guests are started when it is back."""
    draft.act(power_on_action(record), draft.policy.fence_timeout_s)
    draft.save(
        replace(
            record,
            state=HostState.RELEASING,
            reason="switched on again: its instances are restarted in place",
            powered_on=True,
            release_asked=True,
        )
    )
