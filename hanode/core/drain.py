"""Draining: which instance is moved away next, by which of Nova's migrations, and where to? Never two of one instance.

These are Nova's own migrations, of hosts that live; nothing here evacuates. Unlike an evacuation a migration is guarded by Nova
itself: it refuses one of an instance that has a task (compute/api.py `live_migrate`, `resize`: check_instance_state), and one to
the host on which the instance already is. So a request whose answer was lost is repeated to the same target and cannot do harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from hanode.core import accounts
from hanode.core.brake import RECOVERING, has_work
from hanode.core.decisions import Beat, HoldKind, Level, Verdict
from hanode.core.devices import add_devices, wanted
from hanode.core.draft import ROOM_S, Draft
from hanode.core.facts import Host, Instance, Migration, Resources
from hanode.core.ground import ground_of_moves
from hanode.core.judge import Evidence
from hanode.core.lifecycle import HostState
from hanode.core.model import Action, ActionKind, Outcome, Result, WantKind
from hanode.core.once import once
from hanode.core.place import Placed, place
from hanode.core.posting import sound_targets
from hanode.core.records import Maintenance, Move
from hanode.core.room import Ask, Room
from hanode.core.signals import few

KINDS = frozenset({"live-migration", "migration"})
COMPLETE = frozenset({"completed", "confirmed"})
IDLE_S = 10.0
"""While nothing is under way from a host it is looked at so often: something may be put on it by force."""

LISTED = 3
UNREAD = "waits until it is read which hosts have what it needs"

UNMOVABLE: Mapping[str, str] = {
    "suspended": "is SUSPENDED: resume it, then it is moved",
    "rescued": "is in RESCUE: unrescue it, then it is moved",
    "resized": "waits for its resize to be confirmed: confirm or revert it, then it is moved",
    "error": "is in ERROR: see its fault and reset its state, then it is moved",
    "shelved": "is SHELVED: it leaves its host when it is offloaded",
    "building": "is being built: it is moved when it runs",
}


class Moving:
    """What all drains of one tick share: the targets, their room, and how much is under way already."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        moves = [(work.host, move) for work in draft.roster.maintenance.values() for move in work.moves.values() if not move.reason]
        backs = [(guest.at, back.host) for back in draft.roster.failbacks.values() for guest in back.guests.values() if guest.under_way]
        ends = [*((host, move.target) for host, move in moves), *backs]
        self.under_way = Counter(source for source, _ in ends) + Counter(target for _, target in ends)
        self.total = len(ends)

    @once
    def targets(self) -> tuple[Host, ...] | None:
        """Sound hosts that were heard, but no spares, which stand in for failed ones; None while they are not known."""
        found = sound_targets(self.draft)
        if found is None:
            return None
        return tuple(host for host in found if host.name not in self.draft.roster.spares and was_heard(self.draft.beat(host.name)))

    @once
    def room(self) -> Room | None:
        reading = self.draft.room(ROOM_S)
        if reading is None:
            return None
        left = {host: dict(free) for host, free in sorted(cast("Mapping[str, Resources]", reading.value).items())}
        devices_known = add_devices(self.draft, left, [wanted(server) for server in self.leaving])
        return Room(left, ground=ground_of_moves(self.draft, self.leaving, devices_known))

    @once
    def leaving(self) -> tuple[Instance, ...]:
        """Whoever may be moved now, as read last: from hosts in maintenance, and home."""
        roster, readings = self.draft.roster, self.draft.snapshot.readings
        listed = [readings.get((WantKind.SERVERS, host)) for host in roster.maintenance]
        found = [cast("tuple[Instance, ...]", reading.value) for reading in listed if reading and isinstance(reading.value, tuple)]
        to_go = [key for back in roster.failbacks.values() for key, guest in back.guests.items() if not (guest.end or guest.under_way)]
        homeward = [readings.get((WantKind.INSTANCE, key)) for key in to_go]
        alone = [reading.value for reading in homeward if reading and isinstance(reading.value, Instance)]
        return (*(server for servers in found for server in servers), *alone)

    @once
    def waits_for(self) -> str:
        """Whom it makes way for: failed hosts need room and Nova's time more than planned work does."""
        records = self.draft.records
        busy = next((r.host for r in records.values() if r.state in RECOVERING and has_work(r)), None)
        if busy:
            return f"{busy} is being recovered first"
        verdicts = {host: found.verdict for host, found in self.draft.verdicts.items()}
        untold = [host for host in sorted(verdicts) if host not in records or records[host].state is HostState.SUSPECT]
        silent = [host for host in untold if verdicts[host] in {Verdict.SUSPECT, Verdict.FAILED}]
        if silent:
            return f"{few(silent, LISTED)} may have failed, and would be recovered first"
        hold = next((h for h in self.draft.holds if h.hosts is None and h.kind is not HoldKind.DELAY), None)
        return f"the brake holds, {hold.name}" if hold else ""

    def start(self, target: str, source: str) -> None:
        self.total += 1
        self.under_way[source] += 1
        self.under_way[target] += 1

    def is_full(self, *hosts: str) -> bool:
        policy = self.draft.policy
        return self.total >= policy.max_migrations or any(self.under_way[host] >= policy.max_migrations_per_host for host in hosts)


def was_heard(beat: Beat | None) -> bool:
    """By this leader. Nova calls a dead host up for a minute more, and a new leader knows of no silence before its first look."""
    return beat is not None and beat.moved


def reports(source: Evidence) -> bool:
    """May a guest be migrated away? Were its host dead, it could not be evacuated: Nova would keep the migration's task for ever."""
    return source.beats and not source.is_quiet and was_heard(source.beat)


@dataclass(frozen=True)
class Sight:
    """What is known of a host that is being worked on, by complete reads begun after Nova called it disabled."""

    moving: Moving
    work: Maintenance
    e: Evidence
    servers: Mapping[str, Instance]
    servers_s: float  # when that list was begun
    migrations: tuple[Migration, ...]
    migrations_s: float

    @property
    def draft(self) -> Draft:
        return self.moving.draft

    def records(self, instance_id: str) -> tuple[Migration, ...]:
        """Its migrations away from this host, oldest first."""
        found = [m for m in self.migrations if m.instance_id == instance_id and m.source == self.work.host and m.kind in KINDS]
        return tuple(sorted(found, key=lambda m: (m.created_at, len(m.migration_id), m.migration_id)))

    @once
    def coming(self) -> tuple[Migration, ...]:
        """Open records that may bring something here, or still run here. One that waits for its owner's word runs elsewhere."""
        mine = set(self.work.moves)
        return tuple(m for m in self.migrations if m.is_open and m.status != "finished" and m.instance_id not in mine)

    @property
    def is_empty(self) -> bool:
        return not self.servers and not self.coming


def look(moving: Moving, work: Maintenance, e: Evidence) -> Sight | None:
    """None while it is not known, or Nova does not call the host disabled yet: until then something new may be placed on it."""
    draft = moving.draft
    if e.host.service.status != "disabled":
        return None
    since_s = draft.since(f"disabled/{work.work}")
    every_s = draft.policy.follow_s if any(not move.reason for move in work.moves.values()) else IDLE_S
    servers = draft.reading(WantKind.SERVERS, work.host, every_s, since_s)
    migrations = draft.reading(WantKind.MIGRATIONS, work.host, every_s, since_s)
    if servers is None or migrations is None:
        return None
    by_id = {s.instance_id: s for s in cast("tuple[Instance, ...]", servers.value)}
    found = cast("tuple[Migration, ...]", migrations.value)
    return Sight(moving, work, e, by_id, servers.started_s, found, migrations.started_s)


def drain(seen: Sight) -> Maintenance:
    """The record after one look: what has arrived is done with, what failed is told, and some more is asked for."""
    work = finish(seen)
    why_not = _why_not(seen, work)
    blocked: dict[str, str] = {}
    for instance_id, now in sorted(seen.servers.items(), key=lambda item: (item[1].name, item[0])):
        found = _step(seen, work, now, why_not)
        if isinstance(found, Move):
            work = replace(work, moves={**work.moves, instance_id: found})
        if isinstance(found, str) or found.reason:
            blocked[now.name] = found if isinstance(found, str) else found.reason
    return replace(work, moves=dict(sorted(work.moves.items())), reason=_told(seen, work, blocked))


def _why_not(seen: Sight, work: Maintenance) -> str:
    """Why no more of it is moved now; "" when more may be."""
    if work.is_overdue:
        return "its time is over"
    if not reports(seen.e):
        return "waits until it reports again"
    if work.was_empty and _may_be_going(seen, work):
        return "waits for two more heartbeats: it was said that this host may be switched off"
    return seen.moving.waits_for


def _may_be_going(seen: Sight, work: Maintenance) -> bool:
    return seen.draft.beats_since(work.host, seen.draft.since(filled(work))) < 2


def filled(work: Maintenance) -> str:
    """The wait that begins when something is on an empty host again."""
    return f"filled/{work.work}"


def finish(seen: Sight) -> Maintenance:
    """Moves that have ended elsewhere; a cold one of ours is confirmed, because Nova keeps the disk at both ends until then."""
    left = {}
    for instance_id, move in seen.work.moves.items():
        if instance_id in seen.servers or not _has_arrived(seen, instance_id, move):
            left[instance_id] = move
    return replace(seen.work, moves=left)


def wind_down(seen: Sight) -> Maintenance:
    """The record of a maintenance that ends: what is under way is followed to its end, what failed or never began is given up."""
    work = finish(seen)
    here = seen.servers
    return replace(work, moves={key: move for key, move in work.moves.items() if key not in here or _is_under_way(seen, here[key], move)})


def _is_under_way(seen: Sight, now: Instance, move: Move) -> bool:
    draft, action = seen.draft, _action(seen.work, now.instance_id, move)
    if move.reason:
        return False
    if now.task_state or action.action_id in draft.snapshot.in_flight:
        return True
    fresh = seen.records(now.instance_id)[move.known:]
    if fresh:
        return fresh[-1].is_open or fresh[-1].status in {*COMPLETE, "finished"}  # complete: only the list of servers is older
    outcome = draft.outcome(action.action_id)
    if outcome is not None and outcome.result in {Result.REFUSED, Result.NOT_SENT}:
        return False
    # Intended, perhaps by a leader that died: given up when lists begun so much later still show no trace of a request.
    lost, lag_s = f"lost/{action.action_id}", draft.policy.accept_lag_s
    return not draft.waited(lost, lag_s) or min(seen.servers_s, seen.migrations_s) < draft.since(lost) + lag_s


def what_is_left(seen: Sight) -> str:
    names = sorted(server.name for server in seen.servers.values())
    records = [f"migration {m.migration_id} from {m.source} to {m.target or '?'} is {m.status}" for m in seen.coming]
    return few([*names, *records], LISTED)


def _told(seen: Sight, work: Maintenance, blocked: Mapping[str, str]) -> str:
    """One sentence, which changes only when something happens."""
    under_way = sum(not move.reason for move in work.moves.values())
    counted = f"{len(seen.servers)} instances on it, {under_way} under way" if seen.servers or under_way else "nothing on it"
    said = Counter(blocked.values())
    names = {reason: sorted(name for name, why in blocked.items() if why == reason) for reason, _ in said.most_common(LISTED)}
    named = [f"{few(of, LISTED)}: {reason}" for reason, of in names.items()]
    records = [f"migration {m.migration_id} is {m.status}" for m in seen.coming if m.instance_id not in seen.servers]
    return "; ".join([counted, *named, *records[:LISTED]])


# --------------------------------------------------------------------------- one instance that is still here


def _step(seen: Sight, work: Maintenance, now: Instance, why_not: str) -> Move | str:
    """What becomes of it in this tick: a move, as it is or anew, or why there is none."""
    move = work.moves.get(now.instance_id)
    if move is not None and not move.reason:
        return _follow(seen, now, move)
    if now.task_state:
        return f"waits for its task {now.task_state}"
    if any(m.is_open for m in seen.records(now.instance_id)):
        return "is being migrated by somebody else"
    policy = seen.draft.policy
    cold = _is_cold(now, move, policy.cold_migration, policy.evacuate_attempts)
    if isinstance(cold, str):
        return cold
    if why_not:
        return move or why_not
    if move is not None and not seen.draft.waited(f"again/{work.work}/{now.instance_id}/{move.attempt}", 3 * policy.retry_s):
        return move
    return _ask(seen, now, move, cold)


def _is_cold(now: Instance, failed: Move | None, allowed: str, attempts: int) -> bool | str:
    """By which migration it goes, or why by none. A live one stops nobody; a cold one does, so it needs the operator's leave."""
    if now.vm_state in UNMOVABLE or now.vm_state not in {"active", "paused", "stopped"}:
        return UNMOVABLE.get(now.vm_state, f"is in vm_state {now.vm_state}, which Nova does not migrate")
    spent = failed is not None and failed.tries >= attempts * (2 if failed.cold and now.vm_state != "stopped" else 1)
    if now.vm_state == "stopped":
        if allowed == "none":
            return "is stopped, and [maintenance] cold_migration is none: start it, or move it yourself"
        return f"{failed.reason}; {failed.tries} attempts are spent" if spent and failed else True
    if not spent:
        return failed is not None and failed.cold
    assert failed is not None
    if allowed == "all" and not failed.cold and now.vm_state == "active":
        return True  # it is stopped for a while: that is what `all` allows
    return f"{failed.reason}; {failed.tries} attempts are spent"


def _ask(seen: Sight, now: Instance, failed: Move | None, cold: bool) -> Move | str:
    """The intent, which is committed before the request leaves."""
    draft, moving, host = seen.draft, seen.moving, seen.e.host
    if moving.targets is None or moving.room is None:
        return "waits until hosts and their room are read"
    if moving.is_full(host.name):
        return "is in line"
    if now.instance_id in moving.room.ground.pending:
        return UNREAD
    consumed = draft.consumption(host, 30.0)
    domain = draft.policy.domain_of(host)
    entry = accounts.account(now, domain.name if domain else "", consumed or {}, draft.policy, frozenset())
    if entry is None or consumed is None:
        return "waits until its allocation is read"
    avoid = (failed.target,) if failed is not None and len(moving.targets) > 1 else ()
    free = tuple(target for target in moving.targets if not moving.is_full(target.name))
    found = place(Ask(now, replace(entry, avoid=avoid), host, domain, draft.policy), free, moving.room)
    if not isinstance(found, Placed):
        return "is in line" if len(free) < len(moving.targets) else found.reason
    attempt, forgiven = (failed.attempt + 1, failed.forgiven) if failed else (1, 0)
    move = Move(now.name, found.target, cold, attempt, len(seen.records(now.instance_id)), forgiven=forgiven)
    if not draft.act(_action(seen.work, now.instance_id, move), 0.0):
        return "is in line"
    moving.room.charge(found.target, entry.resources)
    moving.start(found.target, host.name)
    return move


def _action(work: Maintenance, instance_id: str, move: Move) -> Action:
    kind = ActionKind.COLD_MIGRATE if move.cold else ActionKind.LIVE_MIGRATE
    return Action(work.host, kind, work.work, move.attempt, instance_id, move.name, target=move.target)


def _follow(seen: Sight, now: Instance, move: Move) -> Move:
    """What Nova's records mean for a migration that was asked for. It counts as under way until something shows that it is not."""
    draft, action = seen.draft, _action(seen.work, now.instance_id, move)
    fresh = seen.records(now.instance_id)[move.known:]
    outcome = draft.outcome(action.action_id)
    if action.action_id in draft.snapshot.in_flight:
        return move
    if fresh and not fresh[-1].is_open and fresh[-1].status not in COMPLETE and not now.task_state:
        return _failed(seen, move, f"{action.kind} to {move.target} ended as {fresh[-1].status}")
    if fresh or now.task_state:
        return move
    if outcome is not None and outcome.result is Result.REFUSED:
        return _failed(seen, move, f"Nova refuses to {action.kind} it to {move.target}: {outcome.detail}")
    if outcome is None or outcome.result in {Result.NOT_SENT, Result.UNREACHABLE}:
        # Of a former leader, or never delivered: the same again. Nova refuses it if the first one was heard after all.
        if outcome is not None or draft.waited(f"unknown/{action.action_id}", draft.policy.retry_s):
            draft.act(action, draft.policy.retry_s)
        return move
    return _lost(seen, move, outcome)


def _lost(seen: Sight, move: Move, outcome: Outcome) -> Move:
    """Accepted, or nobody knows, and neither a task nor a record tells of it."""
    shown = min(seen.servers_s, seen.migrations_s) > outcome.finished_s
    if not shown or not seen.draft.waited(f"lost/{outcome.action.action_id}", seen.draft.policy.accept_lag_s):
        return move
    return _failed(seen, move, f"{outcome.action.kind} to {move.target} left no trace in Nova")


def _failed(seen: Sight, move: Move, reason: str) -> Move:
    text = f"{move.name} was not moved: {reason}"
    seen.draft.note(Level.WARNING, "migration-failed", seen.work.host, text, seen.work.work)
    return replace(move, reason=reason)


# --------------------------------------------------------------------------- one that has left


def _has_arrived(seen: Sight, instance_id: str, move: Move) -> bool:
    """It is elsewhere, and nothing more is to be done with it."""
    draft = seen.draft
    reading = draft.reading(WantKind.INSTANCE, instance_id, draft.policy.follow_s)
    if reading is None or reading.started_s < seen.servers_s - IDLE_S:
        return False
    if reading.value is None:
        return True  # its owner has deleted it
    now = cast(Instance, reading.value)
    if now.host == seen.work.host or now.task_state:
        return False
    if move.cold and now.vm_state == "resized":
        action = Action(seen.work.host, ActionKind.CONFIRM_MIGRATION, seen.work.work, move.attempt, instance_id, move.name)
        draft.act(action, draft.policy.retry_s)
        return False
    level = Level.ALARM if now.vm_state == "error" else Level.INFO
    said = f"{move.name} is on {now.host}" + (", in ERROR: see its fault" if now.vm_state == "error" else "")
    draft.note(level, "moved", seen.work.host, said, seen.work.work, instance_id)
    return True
