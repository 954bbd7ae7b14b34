"""A host is back in service: what had moved away from it is moved back, if that is wanted. By Nova's own migrations, like a drain.

Only what stands where its evacuation has put it: whoever was moved since stays where its owner wants it. One at a time from each host,
after everything that matters more, and never against a rule of placing. Whatever cannot be moved stays where it runs, and is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hanode.core import accounts
from hanode.core.decisions import Level, Verdict
from hanode.core.draft import Draft, verdict_of
from hanode.core.drain import COMPLETE, IDLE_S, KINDS, LISTED, UNMOVABLE, Moving, reports
from hanode.core.facts import Host, Instance, Migration
from hanode.core.judge import Evidence
from hanode.core.lifecycle import FailbackState, HostState, InstanceState, step_failback
from hanode.core.model import Action, ActionKind, Command, Result, WantKind
from hanode.core.place import Placed, place
from hanode.core.records import Failback, Guest, HostRecovery
from hanode.core.room import Ask
from hanode.core.signals import few

OFFERED_S = 7 * 86400.0
WRITTEN_EVERY_S = 600.0

SURE_S = 60.0
"""What speaks against an instance's way home for so long is no passing matter."""

MOST = 2000
"""So many guests of one host are remembered: they are part of one key of the journal."""

Answered = tuple[bool, str]


def offer(draft: Draft, record: HostRecovery) -> None:
    """It is taken back: remember what its incident has moved away. What was moved for a drill is taken away by whoever made it."""
    verified = {key: i for key, i in sorted(record.instances.items()) if i.state is InstanceState.VERIFIED}
    moved = {key: i for key, i in verified.items() if i.ours and i.target != record.host}
    if draft.policy.failback == "never" or not moved or record.host in draft.roster.drills:
        return
    guests = {key: Guest(entry.name, entry.target) for key, entry in list(moved.items())[:MOST]}
    back = Failback(record.host, f"{record.incident}-back", record.incident, FailbackState.OFFERED, OFFERED_S, guests)
    _save(draft, back)
    draft.restart_wait(_clock(back))
    by_itself = draft.policy.failback == "auto"
    when = f"after {draft.policy.failback_after_s:g} s without a fault" if by_itself else f"by `hanode host failback {record.host}`"
    said = f"{len(guests)} instances that were moved away can be moved back {when}"
    draft.note(Level.INFO, "failback-offered", record.host, said, record.incident)


# --------------------------------------------------------------------------- an operator's word


def begin(draft: Draft, command: Command, _record: HostRecovery | None, e: Evidence) -> Answered:
    """`hanode host failback HOST`; given again it tries once more what has failed."""
    back = draft.roster.failbacks.get(command.host)
    if back is None:
        never = draft.policy.failback == "never"
        kept = "nothing is remembered, because [maintenance] failback is never" if never else "nothing is left to move"
        return False, f"{kept}: `openstack server migrate --live-migration --host {command.host} SERVER` moves one"
    if back.state is FailbackState.ENDING:
        return False, "it is being ended: try again when what is under way has arrived"
    wrong = _unfit(draft, e)
    if wrong:
        return False, f"nothing is moved to it now: {wrong}"
    if not draft.may_write(command.host):
        return False, "mode observe writes nothing to Nova"
    again = {key: guest if guest.is_home or guest.under_way else replace(guest, end="") for key, guest in back.guests.items()}
    _save(draft, replace(back, state=step_failback(back.state, FailbackState.MOVING), who=command.who, why=command.why, guests=again))
    return True, f"{sum(not guest.end for guest in again.values())} instances are moved back, one after the other"


def end(draft: Draft, command: Command, _record: HostRecovery | None, _e: Evidence) -> Answered:
    back = draft.roster.failbacks.get(command.host)
    if back is None:
        return False, "nothing is moved back to it"
    if back.state is FailbackState.OFFERED:
        _drop(draft, back, Level.INFO, f"is not wanted by {command.who}: {command.why}")
        return True, "nothing is moved back"
    _save(draft, replace(back, state=step_failback(back.state, FailbackState.ENDING)))
    return True, "no more is moved back; what is under way arrives"


# --------------------------------------------------------------------------- one step on


def move_back(draft: Draft, evidence: Mapping[str, Evidence], moving: Moving) -> None:
    for host, back in sorted(draft.roster.failbacks.items()):
        e, record = evidence.get(host), draft.records.get(host)
        if e is None:
            if draft.fleet is not None:
                _drop(draft, back, Level.WARNING, "Nova does not list the host any more")
            continue  # nobody could look: nothing is moved
        if record is not None and record.state is not HostState.SUSPECT:
            _drop(draft, back, Level.WARNING, "the host has failed again")
        elif back.state is FailbackState.OFFERED:
            _offered(draft, back, e)
        else:
            _moving(moving, back, evidence)


def _offered(draft: Draft, back: Failback, e: Evidence) -> None:
    passed_s = draft.now.s - draft.since(_clock(back))
    if passed_s >= back.left_s:
        _drop(draft, back, Level.INFO, "nobody has wanted it")
        return
    if passed_s >= WRITTEN_EVERY_S:
        back = replace(back, left_s=back.left_s - passed_s)
        _save(draft, back)
        draft.restart_wait(_clock(back))
    well = draft.policy.failback == "auto" and draft.may_write(back.host) and not _unfit(draft, e)
    if well and draft.waited(f"well/{back.failback}", draft.policy.failback_after_s):
        why = f"in service for {draft.policy.failback_after_s:g} s without a fault"
        _save(draft, replace(back, state=step_failback(back.state, FailbackState.MOVING), who="[maintenance] failback", why=why))
        draft.note(Level.WARNING, "failback", back.host, f"what was moved away from it is moved back: {why}", back.incident)
        draft.wake(draft.now.s)


def _unfit(draft: Draft, e: Evidence) -> str:
    """Why nothing is moved to it; "" for a host like any other."""
    name, service = e.host.name, e.host.service
    if verdict_of(draft, name) is not Verdict.HEALTHY or not e.beats or service.state != "up" or name in draft.records:
        return f"it is {verdict_of(draft, name)}"
    if service.status != "enabled":
        return f"it is disabled ({service.disabled_reason or 'no reason given'})"
    if name in draft.roster.maintenance or name in draft.roster.drills or name in draft.roster.spares:
        return "it is in maintenance, in a drill or a spare"
    return ""


def _moving(moving: Moving, back: Failback, evidence: Mapping[str, Evidence]) -> None:
    draft, e = moving.draft, evidence[back.host]
    under_way = any(guest.under_way for guest in back.guests.values())
    reading = draft.reading(WantKind.MIGRATIONS, back.host, draft.policy.follow_s if under_way else IDLE_S)
    if reading is None:
        draft.keep_waits(back.failback)
        return
    records = cast("tuple[Migration, ...]", reading.value)
    ending = back.state is FailbackState.ENDING
    why_not = "ended by an operator" if ending else _unfit(draft, e) or moving.waits_for
    guests = dict(back.guests)
    for key, guest in sorted(guests.items(), key=lambda item: (item[1].name, item[0])):
        if guest.end:
            continue
        homeward = tuple(m for m in records if m.instance_id == key and m.target == back.host and m.kind in KINDS)
        keeps = why_not or _not_now(evidence.get(guest.at))
        guests[key] = _step(moving, back, e.host, key, guest, homeward, reading.started_s, keeps)
        if guests[key].end and guests[key].end != guest.end:
            level = Level.INFO if guests[key].is_home else Level.WARNING
            draft.note(level, "moved-back", back.host, f"{guest.name} {guests[key].end}", back.incident, key)
    if ending:
        left = {key: guest for key, guest in guests.items() if not (guest.end or guest.under_way)}
        guests |= {key: replace(guest, end=f"stays on {guest.at}") for key, guest in left.items()}
    back = replace(back, guests=guests)
    _save(draft, back)
    if all(guest.end for guest in guests.values()):
        _drop(draft, back, Level.WARNING, _summary(back))


def _not_now(source: Evidence | None) -> str:
    return "" if source is not None and reports(source) else "waits until its host reports again"


def _summary(back: Failback) -> str:
    home = sum(guest.is_home for guest in back.guests.values())
    stays = [f"{guest.name} {guest.end}" for _, guest in sorted(back.guests.items(), key=lambda item: item[1].name) if not guest.is_home]
    return f"{home} of {len(back.guests)} instances are at home again" + (f"; {few(stays, LISTED)}" if stays else "")


# --------------------------------------------------------------------------- one instance


def _step(
    moving: Moving, back: Failback, home: Host, key: str, guest: Guest, homeward: tuple[Migration, ...], listed_s: float, why_not: str
) -> Guest:
    draft = moving.draft
    reading = draft.reading(WantKind.INSTANCE, key, draft.policy.follow_s if guest.under_way else 3 * IDLE_S)
    if reading is None:
        return guest
    if reading.value is None:
        return replace(guest, end="was deleted by its owner", under_way=False)
    now = cast(Instance, reading.value)
    if now.host == back.host:
        return _arrived(draft, back, key, guest, now)
    if _was_moved_since(guest, now):
        return replace(guest, end=f"is on {now.host}: it was moved since, and stays there", under_way=False)
    if guest.under_way:
        return _follow(draft, back, key, guest, now, homeward, min(listed_s, reading.started_s))
    if why_not or now.task_state or any(m.is_open for m in homeward):
        return guest
    return _ask(moving, back, home, key, guest, now, homeward)


def _was_moved_since(guest: Guest, now: Instance) -> bool:
    return now.host != guest.at


def _arrived(draft: Draft, back: Failback, key: str, guest: Guest, now: Instance) -> Guest:
    if now.task_state:
        return guest
    if guest.cold and guest.under_way and now.vm_state == "resized":
        confirm = Action(guest.at, ActionKind.CONFIRM_MIGRATION, back.failback, guest.attempt, key, guest.name)
        draft.act(confirm, draft.policy.retry_s)
        return guest
    said = "is at home again" + (", in ERROR: see its fault" if now.vm_state == "error" else "")
    return replace(guest, end=said, is_home=True, under_way=False)


def _ask(moving: Moving, back: Failback, home: Host, key: str, guest: Guest, now: Instance, homeward: tuple[Migration, ...]) -> Guest:
    """The intent, which is committed before the request leaves."""
    draft, policy = moving.draft, moving.draft.policy
    cold = now.vm_state == "stopped"
    if now.vm_state not in {"active", "paused", "stopped"}:
        return replace(guest, end=UNMOVABLE.get(now.vm_state, f"is in vm_state {now.vm_state}, which Nova does not migrate"))
    if cold and policy.cold_migration == "none":
        return replace(guest, end="is stopped, and [maintenance] cold_migration is none")
    if guest.attempt and not draft.waited(f"again/{back.failback}/{key}/{guest.attempt}", 3 * policy.retry_s):
        return guest
    source = draft.host(guest.at)
    beside = any(other.under_way and other.at == guest.at for other in draft.roster.failbacks[back.host].guests.values())
    if source is None or moving.targets is None or moving.room is None or moving.is_full(guest.at, home.name) or beside:
        return guest
    consumed, domain = draft.consumption(source, 30.0), policy.domain_of(source)
    if consumed is None:
        return guest
    entry = accounts.account(now, domain.name if domain else "", consumed, policy, frozenset())
    if entry is None:
        return guest
    here = tuple(host for host in moving.targets if host.name == home.name)
    if not here or key in moving.room.ground.pending:
        return guest  # home is no target for a moment, or what the instance needs of it is being read: no reason to stay away for good
    found = place(Ask(now, entry, source, domain, policy), here, moving.room)
    if not isinstance(found, Placed):
        # Home may be full for a moment only: what its room was read as is some seconds old, and what left it may still hold some.
        is_lasting = draft.waited(f"unfit/{back.failback}/{key}", SURE_S)
        return replace(guest, end=f"stays on {guest.at}: {found.reason}") if is_lasting else guest
    asked = replace(guest, attempt=guest.attempt + 1, cold=cold, known=len(homeward), under_way=True)
    if not draft.act(_action(back, key, asked), 0.0):
        return guest
    moving.room.charge(home.name, entry.resources)
    moving.start(home.name, guest.at)
    _save(draft, replace(back, guests={**draft.roster.failbacks[back.host].guests, key: asked}))  # the next one sees it
    return asked


def _action(back: Failback, key: str, guest: Guest) -> Action:
    kind = ActionKind.COLD_MIGRATE if guest.cold else ActionKind.LIVE_MIGRATE
    return Action(guest.at, kind, back.failback, guest.attempt, key, guest.name, target=back.host)


def _follow(draft: Draft, back: Failback, key: str, guest: Guest, now: Instance, homeward: tuple[Migration, ...], seen_s: float) -> Guest:
    """It counts as under way until something shows that it is not; Nova refuses a second one while the first has its task."""
    action, policy = _action(back, key, guest), draft.policy
    fresh, outcome = homeward[guest.known:], draft.outcome(action.action_id)
    if action.action_id in draft.snapshot.in_flight or now.task_state:
        return guest
    if fresh:
        if fresh[-1].is_open:
            return guest
        if fresh[-1].status not in COMPLETE:
            return _failed(draft, guest, f"its migration ended as {fresh[-1].status}")
        # It was at home while nobody looked: the list of instances may be older than the record, but not for so long.
        was_there, lag_s = f"was-there/{action.action_id}", policy.accept_lag_s
        if not draft.waited(was_there, lag_s) or seen_s < draft.since(was_there) + lag_s:
            return guest
        return replace(guest, end=f"is on {now.host}: it was moved since, and stays there", under_way=False)
    if outcome is not None and outcome.result is Result.REFUSED:
        return _failed(draft, guest, f"Nova refuses its migration: {outcome.detail}")
    if outcome is None or outcome.result in {Result.NOT_SENT, Result.UNREACHABLE}:
        # Of a former leader, or never delivered: the same again. Nova refuses it if the first one was heard after all.
        if back.state is FailbackState.ENDING and draft.waited(f"unknown/{action.action_id}", policy.accept_lag_s):
            return replace(guest, under_way=False)
        known = outcome is not None or draft.waited(f"unknown/{action.action_id}", policy.retry_s)
        if known and back.state is not FailbackState.ENDING:
            draft.act(action, policy.retry_s)
        return guest
    lost = f"lost/{action.action_id}"
    if not draft.waited(lost, policy.accept_lag_s) or seen_s < draft.since(lost) + policy.accept_lag_s:
        return guest
    return _failed(draft, guest, "its migration left no trace in Nova")


def _failed(draft: Draft, guest: Guest, why: str) -> Guest:
    spent = guest.attempt >= draft.policy.evacuate_attempts
    return replace(guest, under_way=False, end=f"stays on {guest.at}: {why}" if spent else "")


# --------------------------------------------------------------------------- the record


def _clock(back: Failback) -> str:
    return f"failback/{back.failback}"


def _save(draft: Draft, back: Failback) -> None:
    draft.roster = replace(draft.roster, failbacks=dict(sorted({**draft.roster.failbacks, back.host: back}.items())))


def _drop(draft: Draft, back: Failback, level: Level, text: str) -> None:
    left = {host: other for host, other in draft.roster.failbacks.items() if host != back.host}
    draft.roster = replace(draft.roster, failbacks=left)
    draft.note(level, "failback-ended", back.host, f"the moving back has ended: {text}", back.incident)
