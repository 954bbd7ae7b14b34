"""People want to work on a host: how is way made for them, who protects it meanwhile, and when is it taken back?

A host that is being drained is protected like any other until nothing is on it; only then is it EXEMPT. A host that keeps its
instances (`--no-drain`) is held instead: whoever falls silent under an operator's word is not shot, and not forgotten either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.drain import Moving, drain, filled, look, what_is_left, wind_down
from hanode.core.judge import MAINTENANCE_MARK, Evidence
from hanode.core.lifecycle import WORK_SENTENCES, HostState, WorkState, step_work
from hanode.core.model import Action, ActionKind, Command
from hanode.core.records import HostRecovery, Maintenance

WRITTEN_EVERY_S = 60.0
"""What is left of the time is written down so often: a change of leader prolongs it by at most that."""

LONGEST_S = 7 * 86400.0
Answered = tuple[bool, str]


def begin(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    """The word `maintenance`; given again it changes for how long and why, and forgives failed migrations."""
    former = e.work
    if not 0 < command.for_s <= LONGEST_S:
        return False, f"maintenance must end by itself: say for how long, at most {LONGEST_S / 86400:.0f} days"
    if former is not None and former.state is not WorkState.ENDING and former.drain == command.drain:
        again = {key: replace(m, forgiven=m.attempt, cold=False) if m.reason else m for key, m in former.moves.items()}
        _save(draft, replace(former, who=command.who, why=command.why, left_s=command.for_s, moves=again))
        draft.restart_wait(_clock(former))
        return True, f"it is in maintenance already ({former.state}); from now on for {command.for_s / 60:.0f} min"
    if former is not None:
        return False, f"it is in maintenance ({former.state}) in another way: first `hanode host maintenance {e.host.name} --end`"
    if record is not None:
        return False, f"it is {record.state}: {record.reason}"
    if e.host.name in draft.roster.drills:
        return False, f"a drill of it is not over: `hanode drill {e.host.name} --end`"
    if not draft.may_write(e.host.name):
        return False, "mode observe writes nothing to Nova: disable it yourself with `openstack compute service set --disable`"
    if e.is_quiet or not e.beats:
        return False, f"its service has not reported for {e.silent_s:.0f} s: who is silent already is judged, not worked on"
    stamp = draft.now.at.partition(".")[0].replace("-", "").replace(":", "").removesuffix("Z")
    state = WorkState.DRAINING if command.drain else WorkState.UNDRAINED
    work = Maintenance(
        e.host.name, f"{e.host.name}-work-{stamp}", command.who, command.why, draft.now.at, command.for_s, state, command.drain
    )
    _save(draft, work)
    draft.restart_wait(_clock(work))
    said = f"it is drained now; `hanode status` says when it is empty, and until then it is protected: {WORK_SENTENCES[state]}"
    kept = "its instances stay on it, and if they fail with it nobody restarts them elsewhere until the maintenance ends"
    return True, said if command.drain else kept


def end(draft: Draft, command: Command, record: HostRecovery | None, e: Evidence) -> Answered:
    if e.work is None:
        return False, "it is not in maintenance"
    _save(draft, replace(e.work, state=step_work(e.work.state, WorkState.ENDING), reason=f"ended by {command.who}: {command.why}"))
    return True, "no more is moved away; it is enabled as soon as it reports and what is under way is finished"


def maintain(draft: Draft, evidence: Mapping[str, Evidence], moving: Moving) -> None:
    """Every host on which people work, one step on."""
    for host, work in sorted(draft.roster.maintenance.items()):
        work = _run_down(draft, work)
        e = evidence.get(host)
        if e is None and draft.fleet is not None:
            _drop(draft, work, Level.WARNING, "Nova does not list it any more: its maintenance has ended")
        if e is None:
            continue  # nobody could look: nothing is moved
        record = draft.records.get(host)
        if record is not None and record.state is not HostState.SUSPECT:
            _drop(draft, work, Level.ALARM, "failed while it was worked on: its maintenance has ended, its incident goes on")
            continue
        _disable(draft, work, e)
        RULES[work.state](moving, work, e)


def _draining(moving: Moving, work: Maintenance, e: Evidence) -> None:
    draft = moving.draft
    seen = look(moving, work, e)
    if seen is None:
        return
    work = _save(draft, drain(seen))
    if seen.is_empty and not work.moves:
        _save(draft, replace(work, state=step_work(work.state, WorkState.EMPTY), was_empty=True, reason=""))
        draft.note(Level.WARNING, "drained", work.host, f"is empty: it may be switched off ({work.why})", work.work)


def _empty(moving: Moving, work: Maintenance, e: Evidence) -> None:
    if _is_filled(moving, work, e) or e.beats:
        return
    _save(moving.draft, replace(work, state=step_work(work.state, WorkState.AWAY), reason=""))


def _is_filled(moving: Moving, work: Maintenance, e: Evidence) -> bool:
    """Something was put on it by force, or came back to it: then it is protected again, at once."""
    seen = look(moving, work, e)
    if seen is None or seen.is_empty:
        return False
    text = f"is not empty any more, so it is protected again: {what_is_left(seen)}"
    moving.draft.note(Level.ALARM, "filled", work.host, text, work.work)
    moving.draft.restart_wait(filled(work))
    _save(moving.draft, replace(work, state=step_work(work.state, WorkState.DRAINING), reason=text))
    return True


def _undrained(moving: Moving, work: Maintenance, e: Evidence) -> None:
    if not e.beats:
        _save(moving.draft, replace(work, state=step_work(work.state, WorkState.AWAY)))


def _away(moving: Moving, work: Maintenance, e: Evidence) -> None:
    draft = moving.draft
    away_s = draft.since(f"away/{work.work}")
    if work.drain and _is_filled(moving, work, e):
        return
    # Only a heartbeat that this leader saw itself: until service_down_time Nova calls a host up that was just switched off.
    if e.beats and draft.beats_since(work.host, away_s) and e.host.service.state == "up":
        draft.note(Level.WARNING, "work-done", work.host, "was away and reports again: it is taken back", work.work)
        _save(draft, replace(work, state=step_work(work.state, WorkState.ENDING), reason="was away and reports again"))


def _ending(moving: Moving, work: Maintenance, e: Evidence) -> None:
    draft, service = moving.draft, e.host.service
    if work.moves:
        seen = look(moving, work, e)
        work = _save(draft, wind_down(seen)) if seen is not None else work
    if work.moves:
        return
    if service.status == "disabled" and service.disabled_reason.startswith(MAINTENANCE_MARK):
        if service.state == "up" and not service.forced_down and e.beats:
            draft.act(Action(work.host, ActionKind.ENABLE, work.work, service_id=service.service_id), draft.policy.retry_s)
        return
    _drop(draft, work, Level.WARNING, f"its maintenance has ended ({work.reason})")


RULES: Mapping[WorkState, Callable[[Moving, Maintenance, Evidence], None]] = {
    WorkState.DRAINING: _draining,
    WorkState.EMPTY: _empty,
    WorkState.UNDRAINED: _undrained,
    WorkState.AWAY: _away,
    WorkState.ENDING: _ending,
}


def _disable(draft: Draft, work: Maintenance, e: Evidence) -> None:
    """Nothing new shall be placed on it; who was disabled by somebody else before stays theirs."""
    service = e.host.service
    if work.state in {WorkState.ENDING, WorkState.AWAY} or service.status != "enabled":
        return
    reason = f"{MAINTENANCE_MARK} by {work.who}: {work.why}"
    draft.act(Action(work.host, ActionKind.DISABLE, work.work, service_id=service.service_id, reason=reason), draft.policy.retry_s)


def _run_down(draft: Draft, work: Maintenance) -> Maintenance:
    if work.state is WorkState.ENDING:
        return work
    passed_s = draft.now.s - draft.since(_clock(work))
    left_s = max(0.0, work.left_s - passed_s)
    if work.left_s and (not left_s or passed_s >= WRITTEN_EVERY_S):
        work = _save(draft, replace(work, left_s=left_s))
        draft.restart_wait(_clock(work))
    if not left_s:
        said = f"{WORK_SENTENCES[work.state]}{f' ({work.reason})' if work.reason else ''}"
        then = f"say for how much longer, or `hanode host maintenance {work.host} --end`"
        draft.note_once(Level.ALARM, "overdue", work.host, f"its maintenance is overdue, {work.state}: {said}; {then}", work.work)
    else:
        draft.wake(draft.now.s + left_s)
    return work


def _clock(work: Maintenance) -> str:
    return f"work/{work.work}"


def _save(draft: Draft, work: Maintenance) -> Maintenance:
    table = {**draft.roster.maintenance, work.host: work}
    draft.roster = replace(draft.roster, maintenance=dict(sorted(table.items())))
    return work


def _drop(draft: Draft, work: Maintenance, level: Level, text: str) -> None:
    left = {host: other for host, other in draft.roster.maintenance.items() if host != work.host}
    draft.roster = replace(draft.roster, maintenance=left)
    draft.note(level, "work-ended", work.host, text, work.work)
