"""May its store cut a host off from its disks, does the cut stand, and when is it lifted? For hosts that no power device proves off.

A cut is an act like a power-off: judged anew, braked anew, and believed by what the store reads, never by what the order said. Once it
stood it is kept up, by whichever leader there is, until the host is given back: until then a guest that Nova has started elsewhere may
still run there. It says nothing of power: the host may live and answer, and only who is wholly in that store may be restarted by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hanode.core.decisions import Level, Trace
from hanode.core.draft import Draft
from hanode.core.facts import Access, Host, StoreCheck, Unknown
from hanode.core.judge import Evidence
from hanode.core.lifecycle import IN_FLIGHT, TO_DO, HostState, InstanceState
from hanode.core.model import Action, ActionKind, Outcome, Result, WantKind
from hanode.core.policy import StorePlan
from hanode.core.records import Cut, HostRecovery, Proof, ProofKind
from hanode.core.stores import store_key, store_of, why_not_whole

HARMLESS = frozenset({Result.REFUSED, Result.UNREACHABLE, Result.NOT_SENT})
RENEWED_AFTER = 1 / 3
"""Of its time: two more renewals may fail before the store forgets it."""
OVERDUE_AFTER = 2 / 3
RETRIES = 30
"""So often in its time an order is repeated that failed."""
WATCHED_S = 10.0
CHECKED_S = 600.0


# --------------------------------------------------------------------------- is it cut off?


def stands(draft: Draft, record: HostRecovery) -> bool:
    """By the store's own word, twice, seconds apart, and lately. Nothing is restarted elsewhere without it."""
    trace = _trace(draft, record)
    if trace is None or record.cut is None or record.cut.lifting or why_not_counted(draft, record):
        return False
    policy = draft.policy
    return trace.value == Access.CUT and trace.twice(policy.reading_gap_s) and draft.now.s - trace.last_s <= policy.proof_s


def why_not_counted(draft: Draft, record: HostRecovery) -> str:
    """Why a cut does not count although it may read so; "" when only the reading decides."""
    assert record.cut is not None
    plan = draft.policy.stores.get(record.cut.domain)
    if plan is None or not plan.proof:
        return f"fencing.yaml does not let a cut by storage {record.cut.domain} stand for death any more"
    if record.cut.stood and _may_run_out(draft, record):
        return f"storage {record.cut.domain} was not seen to keep it cut off for long enough"
    return ""


def _may_run_out(draft: Draft, record: HostRecovery) -> bool:
    """Until when it stands this leader knows only by an order of its own: an entry that nobody renewed reads cut to its last second."""
    for_s = record.cut.for_s if record.cut else 0.0
    if not for_s:
        return False
    renewed_s = draft.peek(f"last-renewed/{record.incident}")
    return renewed_s is None or draft.now.s - renewed_s >= for_s * OVERDUE_AFTER


def _trace(draft: Draft, record: HostRecovery) -> Trace | None:
    return draft.access(record.cut.domain, record.host, _every_s(draft, record)) if record.cut else None


def _every_s(draft: Draft, record: HostRecovery) -> float:
    policy = draft.policy
    if record.state in {HostState.FENCING, HostState.NEEDS_OPERATOR} or (record.cut is not None and record.cut.lifting):
        return policy.reading_gap_s
    at_work = record.is_open or any(entry.state in TO_DO for entry in record.instances.values())
    return min(WATCHED_S, policy.proof_s / 2) if at_work else WATCHED_S


def proof_of(draft: Draft, record: HostRecovery, how: str = "") -> Proof:
    assert record.cut is not None, "it stands"
    text = f"storage {record.cut.domain} says so twice{how}; it may run and answer, and is no more than cut off"
    return Proof(ProofKind.STORAGE, text, draft.now.at)


# --------------------------------------------------------------------------- to cut it off


def would_help(draft: Draft, record: HostRecovery, host: Host) -> bool:
    """Is there a store that may, and somebody whom that would bring back?"""
    found = store_of(draft.policy, host)
    if found is None or record.recovery != "evacuate":
        return False
    servers = draft.servers(record.host, 10.0) or {}
    known = [entry for key, entry in record.instances.items() if key in servers]
    bound = {entry.instance_id for entry in known if why_not_whole(servers[entry.instance_id], entry, *found)}
    # Of one whose evacuation is open already only an off can end the guest that may run here beside the new one.
    if any(entry.state in IN_FLIGHT and entry.instance_id in bound for entry in known):
        return False
    return any(entry.state in TO_DO | IN_FLIGHT and entry.instance_id not in bound for entry in known)


def prepare(draft: Draft, record: HostRecovery, host: Host) -> None:
    """Read now by what it will be decided whether a cut would help, so that no failing device has to be waited for."""
    if store_of(draft.policy, host) is not None and record.recovery == "evacuate":
        draft.servers(record.host, 10.0)


def cut_off(draft: Draft, record: HostRecovery, e: Evidence, has_slot: bool) -> bool:
    """Of a host that was judged and braked in this tick. True while it is tried; False leaves it to a person."""
    found = store_of(draft.policy, e.host)
    if _restore_of(record).action_id in draft.snapshot.in_flight:
        return True  # it was to be given its disks back when it failed again: one after the other
    if record.cut is not None and not record.cut.lifting:
        return _follow(draft, record, found) if record.cut_tries and not record.cut.stood else _wait_for(draft, record, e)
    if found is None or _is_exhausted(draft, record):
        return False
    if not would_help(draft, record, e.host):
        unread = draft.servers(record.host, 10.0) is None
        return unread and not draft.waited(f"unread/{record.incident}/{record.fence_attempt}", draft.policy.fence_timeout_s)
    if not has_slot:
        text = f"waits: {draft.policy.max_fencing} hosts are being fenced, max_fencing allows no more"
        draft.note_once(Level.WARNING, "fence-queue", record.host, text)
        return True
    if not record.cut_tries or draft.waited(f"cut-again/{record.incident}/{record.cut_orders}", draft.policy.fence_backoff_s):
        _order(draft, record, *found)
    return True


def _is_exhausted(draft: Draft, record: HostRecovery) -> bool:
    return Result.REFUSED in record.cut_tries or len(record.cut_tries) >= draft.policy.fence_attempts


def _wait_for(draft: Draft, record: HostRecovery, e: Evidence) -> bool:
    """It is cut off already, since before this round: kept up, and believed as at first."""
    if not record.cut_tries:
        draft.save(replace(record, cut_tries=(Result.DONE,)))
    in_time = not draft.waited(f"still-cut/{record.incident}/{record.fence_attempt}", draft.policy.fence_timeout_s)
    return in_time and would_help(draft, record, e.host)


def _follow(draft: Draft, record: HostRecovery, found: tuple[str, StorePlan] | None) -> bool:
    action, policy = order_of(record), draft.policy
    sent, outcome = f"sent/{action.action_id}", draft.outcome(action.action_id)
    if action.action_id in draft.snapshot.in_flight or (outcome is None and draft.peek(sent) is not None):
        draft.since(sent)
        return True
    if outcome is None:
        # Another leader wrote this; whether it was sent nobody knows. A cut may be repeated, and was judged anew.
        assert record.cut is not None, "there is an order"
        draft.save(replace(record, cut=replace(record.cut, reached=True)))
        _send(draft, action)
        return True
    if not draft.waited(sent, policy.fence_timeout_s):
        return True
    if found is None or _is_exhausted(draft, record):
        return False
    _order(draft, record, *found)
    return True


def _order(draft: Draft, record: HostRecovery, domain: str, plan: StorePlan) -> None:
    """The intent is committed in the same tick before the order leaves."""
    cut = record.cut if record.cut and record.cut.domain == domain and not record.cut.lifting else Cut(domain, plan.expires_s, draft.now.at)
    # From here on it is being fenced once more, whatever it has outlived before.
    changed = replace(record, cut=cut, cut_orders=record.cut_orders + 1, cut_tries=(*record.cut_tries, ""), outlived=False)
    record = draft.save(replace(changed, reason=f"is being cut off from its disks by storage {domain}"))
    text = f"no power device proves it off: storage {domain} is told to cut it off from its disks"
    draft.note(Level.WARNING, "storage-cut", record.host, text, record.incident)
    _send(draft, order_of(record))


def order_of(record: HostRecovery) -> Action:
    """The newest order to cut it off; one that stood already is only kept up."""
    assert record.cut is not None
    kind = ActionKind.KEEP_CUT if record.cut.stood else ActionKind.CUT
    return Action(record.host, kind, record.incident, record.cut_orders, store=record.cut.domain, for_s=record.cut.for_s)


def _send(draft: Draft, action: Action) -> None:
    draft.act(replace(action, until_s=draft.now.s + draft.policy.proof_s), 0.0)


def learn_of_cut(draft: Draft, record: HostRecovery) -> HostRecovery:
    """What became of the newest order; one that certainly reached no store binds nobody."""
    if record.cut is None or record.cut.stood or not record.cut_tries:
        return record
    outcome = draft.outcome(order_of(record).action_id)
    if outcome is None or record.cut_tries[-1] == outcome.result:
        return record
    said = f"storage {record.cut.domain}, attempt {record.cut_orders}: {outcome.result}{f' ({outcome.detail})' if outcome.detail else ''}"
    draft.note(Level.WARNING, "storage-cut", record.host, said, record.incident)
    tries = (*record.cut_tries[:-1], outcome.result)
    reached = record.cut.reached or outcome.result not in HARMLESS
    cut = _dated(draft, replace(record.cut, reached=True), outcome) if reached else None
    return draft.save(replace(record, cut=cut, cut_tries=tries, reason=said))


def _dated(draft: Draft, cut: Cut, outcome: Outcome) -> Cut:
    """With the moment from which the store counts its time, for people: waits are measured otherwise."""
    if outcome.result is not Result.DONE:
        return cut
    return replace(cut, renewed_at=draft.now.at)


def why_not(record: HostRecovery, found: tuple[str, StorePlan] | None) -> str:
    """What is told to a person of a store that did not help."""
    if found is None or not record.cut_tries:
        return ""
    said = record.cut_tries[-1]
    what = {Result.REFUSED: "refuses to cut it off", Result.UNREACHABLE: "cannot be reached"}.get(Result(said) if said else Result.DONE)
    return f", and its storage {found[0]} {what or 'does not show it cut off'}"


def may_try_again(draft: Draft, record: HostRecovery, host: Host) -> bool:
    """A store that was away answers again, or the operator has allowed one since."""
    found = store_of(draft.policy, host)
    if found is None or not would_help(draft, record, host):
        return False
    if not record.cut_tries:
        return True
    if record.cut_tries[-1] != Result.UNREACHABLE:
        return False
    begun_s = draft.since(f"store-away/{record.incident}/{record.cut_orders}")
    trace = draft.access(found[0], record.host, WATCHED_S)
    return trace is not None and trace.value in {Access.CUT, Access.OPEN} and trace.since_s > begun_s


# --------------------------------------------------------------------------- to keep it up


def keep_cuts(draft: Draft) -> None:
    """Of every host whose cut has stood: read, renew in time, and cut again what the store has forgotten; whatever Nova shows.

    No brake is asked: this keeps a promise that others already rest on, and begins nothing.
    """
    overdue = []
    for _, record in sorted(draft.records.items()):
        if record.cut is not None and record.cut.stood and not record.cut.lifting and _keep(draft, record):
            overdue.append(record.host)
    draft.overdue_cuts = frozenset(overdue)


def _keep(draft: Draft, record: HostRecovery) -> bool:
    """True when it was not renewed for so long that the store may forget it."""
    cut, trace, policy = record.cut, _trace(draft, record), draft.policy
    assert cut is not None
    orders = [replace(order_of(record), kind=kind).action_id for kind in (ActionKind.KEEP_CUT, ActionKind.CUT)]
    outcome = next((found for order in orders if (found := draft.outcome(order))), None)
    done = outcome is not None and outcome.result is Result.DONE
    renewed, kept, asked = f"renewed/{record.incident}/{record.cut_orders}", f"kept/{record.incident}", f"ask-store/{record.incident}"
    last = f"last-renewed/{record.incident}"
    if done and outcome is not None and draft.peek(renewed) is None:
        draft.restart_wait(kept)
        draft.restart_wait(last)
        record = draft.save(replace(record, cut=_dated(draft, cut, outcome)))
    if draft.peek(last) is not None:
        draft.since(last)
    gone = _is_gone(draft, trace, outcome)
    if gone:
        text = f"storage {cut.domain} has forgotten that it is cut off: it is cut off again, and nobody is restarted elsewhere before"
        draft.note_once(Level.ALARM, "cut-gone", record.host, text, record.incident)
    due = gone or not done or bool(cut.for_s and draft.waited(renewed, cut.for_s * RENEWED_AFTER))
    pause_s = policy.retry_s if gone else max(policy.retry_s, cut.for_s / RETRIES)
    if done:
        draft.since(renewed)
    if draft.peek(asked) is not None:
        draft.since(asked)
    if due and not draft.snapshot.in_flight.intersection(orders) and (draft.peek(asked) is None or draft.waited(asked, pause_s)):
        draft.restart_wait(asked)
        record = draft.save(replace(record, cut_orders=record.cut_orders + 1))
        draft.act(order_of(record), 0.0, promised=True)
    overdue = bool(cut.for_s) and draft.waited(kept, cut.for_s * OVERDUE_AFTER)
    if overdue:
        text = f"storage {cut.domain} cannot be asked to keep it cut off: once it forgets that, two guests may write one disk"
        draft.note_once(Level.ALARM, "cut-overdue", record.host, text, record.incident)
    return overdue


def _is_gone(draft: Draft, trace: Trace | None, outcome: Outcome | None) -> bool:
    """By a reading that was begun after the newest order had ended."""
    ended_s = outcome.finished_s if outcome else draft.timers.office_since_s
    return trace is not None and trace.value in {Access.OPEN, Access.PARTLY} and trace.last_s > ended_s


# --------------------------------------------------------------------------- to lift it


def lift(draft: Draft, record: HostRecovery, now_safe: str) -> str:
    """One step; for what it waits, "" when the host may write again. The caller knows why no second guest can be harmed.

    The end is written down before the store is told: from then on no leader renews the cut, and without us the store forgets it.
    """
    cut = record.cut
    if cut is None:
        return ""
    orders = {replace(order_of(record), kind=kind).action_id for kind in (ActionKind.CUT, ActionKind.KEEP_CUT)}
    if orders & draft.snapshot.in_flight:
        return f"storage {cut.domain} is being asked"
    begun = f"lift/{record.incident}/{record.cut_orders}"
    if not cut.lifting:
        text = f"{now_safe}: storage {cut.domain} is told to let it write again"
        draft.note(Level.WARNING, "storage-open", record.host, text, record.incident)
        record = draft.save(replace(record, cut=replace(cut, lifting=True)))
    begun_s, trace = draft.since(begun), _trace(draft, record)
    action = _restore_of(record)
    outcome = draft.outcome(action.action_id)
    asked = draft.peek(f"sent/{action.action_id}") is not None
    # An order that was never answered may arrive late: only what reads open after it has settled stays open.
    settled = draft.waited(begun, draft.policy.fence_settle_s)
    free_s = max(begun_s + draft.policy.fence_settle_s, outcome.finished_s if outcome else begun_s)
    in_flight = action.action_id in draft.snapshot.in_flight
    if settled and asked and not in_flight and trace is not None and trace.value == Access.OPEN and trace.last_s > free_s:
        draft.save(replace(record, cut=None, cut_tries=()))
        text = f"may write in storage {cut.domain} again{_who_ran_on(record)}"
        draft.note(Level.WARNING, "storage-open", record.host, text, record.incident)
        return ""
    if asked and trace is not None and trace.value == Access.OPEN:
        draft.since(f"sent/{action.action_id}")
    else:
        draft.act(action, draft.policy.retry_s)
    if outcome is not None and outcome.result is not Result.DONE:
        text = f"storage {cut.domain} does not give it its disks back ({outcome.detail}): by hand, {by_hand(draft, record)}"
        draft.note_once(Level.ALARM, "lift-failed", record.host, text, record.incident)
    return f"storage {cut.domain} is to let it write again first"


def _restore_of(record: HostRecovery) -> Action:
    return Action(record.host, ActionKind.RESTORE, record.incident, record.cut_orders, store=record.cut.domain if record.cut else "")


AT_HOME = TO_DO | {InstanceState.SKIPPED, InstanceState.FAILED, InstanceState.STUCK, InstanceState.RETURNED}


def _who_ran_on(record: HostRecovery) -> str:
    """A guest that was not restarted since has lost its disk under its feet, and most do not find it again by themselves."""
    names = sorted(entry.name for entry in record.instances.values() if entry.state in AT_HOME)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"; if its host was not started anew since, reboot {', '.join(names[:5])}{more} hard" if names else ""


def by_hand(draft: Draft, record: HostRecovery) -> str:
    """How a person gives the host its disks back."""
    plan = draft.policy.stores.get(record.cut.domain) if record.cut else None
    return plan.by_hand.replace("{host}", record.host) if plan and plan.by_hand else "see docs/fencing.md"


def left_cut(draft: Draft, record: HostRecovery) -> str:
    """What is to be done about the cut of a recovery that ends without lifting it; "" when there is none."""
    if record.cut is None:
        return ""
    end = f"for {record.cut.for_s / 60:.0f} min from {record.cut.renewed_at or 'now'} on" if record.cut.for_s else "until somebody lifts it"
    return (
        f"; storage {record.cut.domain} may still cut it off from its disks, {end}, and nobody renews that: once no guest of it runs"
        f" elsewhere too, {by_hand(draft, record)}"
    )


# --------------------------------------------------------------------------- without need


def watch_stores(draft: Draft) -> None:
    """Would they obey, and is anybody cut off of whom no recovery knows?"""
    policy = draft.policy
    if not policy.check_every_s or not policy.stores:
        return
    found: dict[str, StoreCheck] = {}
    for domain in sorted(policy.stores):
        draft.want(WantKind.STORE, store_key(domain, ""), min(CHECKED_S, policy.check_every_s))
        reading = draft.snapshot.readings.get((WantKind.STORE, store_key(domain, "")))
        if reading is not None:
            found[domain] = StoreCheck(reading.value.reason) if isinstance(reading.value, Unknown) else cast(StoreCheck, reading.value)
    if len(found) < len(policy.stores):
        return
    _tell_of_trouble(draft, found)
    for domain, check in found.items():
        for host in sorted(check.cut):
            record = draft.records.get(host)
            if record is None or record.cut is None:
                hand = policy.stores[domain].by_hand.replace("{host}", host)
                text = f"is cut off from its disks by storage {domain}, and no recovery knows why; when that is over, {hand}"
                draft.note_once(Level.ALARM, "cut-left", host, text)


def _tell_of_trouble(draft: Draft, found: Mapping[str, StoreCheck]) -> None:
    troubled = "; ".join(f"storage {domain}: {check.trouble}" for domain, check in found.items() if check.trouble)
    text = f"would cut nobody off: {troubled}; try again with `hanode fence check`" if troubled else "every store would cut hosts off again"
    draft.note_change(Level.ALARM if troubled else Level.INFO, "store-unready", "", troubled, text, bool(troubled))
