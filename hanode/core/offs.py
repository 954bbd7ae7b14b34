"""What is a power device told, how long is that given, and what came of it?"""

from __future__ import annotations

from dataclasses import replace

from hanode.core import levels
from hanode.core.contradiction import has_settled
from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.model import Action, ActionKind, Outcome, Result
from hanode.core.policy import FencePlan, Policy
from hanode.core.records import HostRecovery


def off_action(record: HostRecovery, plan: FencePlan) -> Action:
    return Action(record.host, ActionKind.POWER_OFF, record.incident, record.fence_attempt, level=levels.level_of_try(plan, record))


def power_on_action(record: HostRecovery) -> Action:
    """By the level that proved it off: what that has switched off only it can switch on."""
    return Action(record.host, ActionKind.POWER_ON, record.incident, level=record.proof.level if record.proof else 1)


def try_text(action: Action, plan: FencePlan) -> str:
    return f"power-off, attempt {action.attempt}" + (f" at level {action.level}" if len(plan.levels) > 1 else "")


def learn_of_off(draft: Draft, record: HostRecovery) -> HostRecovery:
    """What became of the newest off, whatever else is so now: one that certainly reached no device binds nobody."""
    plan = draft.policy.plan_of(record.host)
    outcome = draft.outcome(off_action(record, plan).action_id) if record.offs and plan.levels else None
    if outcome is None or record.offs[-1] == outcome.result:
        return record
    said = f"{try_text(outcome.action, plan)}: {outcome.result}{f' ({outcome.detail})' if outcome.detail else ''}"
    draft.note(Level.WARNING, "power-off", record.host, said, record.incident)
    offs = (*record.offs[:-1], outcome.result)
    return draft.save(replace(record, offs=offs, reason=f"power-off {outcome.result}: {outcome.detail}"))


def patience_s(policy: Policy, outcome: Outcome, another_is_next: bool) -> float:
    """How long after it was sent an off is given up: what was delivered may still take effect, what was not never will."""
    if outcome.result in {Result.DONE, Result.AMBIGUOUS}:
        return policy.fence_timeout_s
    return 0.0 if another_is_next and outcome.result is not Result.NOT_SENT else policy.fence_backoff_s


def why_not_off(outcome: Outcome, plan: FencePlan) -> str:
    count = len(plan.levels)
    device = f"no level of its {count} confirmed; the last one" if count > 1 else "its device"
    if outcome.result is Result.DONE:
        return f"{device} accepts the power-off and does not read off"
    return f"{device} does not answer and does not read off" if outcome.result is Result.AMBIGUOUS else f"{device} says: {outcome.detail}"


def give_way(draft: Draft, record: HostRecovery) -> HostRecovery:
    """Where no off can be on its way any more nobody is being fenced, and others need not wait; its next off waits for its turn."""
    plan = draft.policy.plan_of(record.host)
    in_flight = bool(plan.levels) and off_action(record, plan).action_id in draft.snapshot.in_flight
    return draft.save(replace(record, outlived=True)) if has_settled(draft, record) and not in_flight else record
