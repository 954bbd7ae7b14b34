"""Which hosts in reserve are enabled when nothing else fits, and when are they given back? As few as suffice; the same for every leader.

The use of a spare is written down before Nova is told to enable it, and again before it is told to disable it, so whoever leads
next goes on. A spare counts as a target only once Nova calls it enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import comb

from hanode.core.brake import RECOVERING, has_work
from hanode.core.decisions import Level
from hanode.core.draft import Draft
from hanode.core.facts import Host
from hanode.core.lifecycle import IN_FLIGHT, HostState, InstanceState, SpareState, step_spare
from hanode.core.model import Action, ActionKind, Command, Result, WantKind
from hanode.core.place import Placed, Refused, place, place_all
from hanode.core.policy import MARKER
from hanode.core.records import HostRecovery, Spare
from hanode.core.room import Ask, Room

TRIED = 20_000
"""So many comparisons of an instance with a spare are made to find the fewest spares; beyond that none is called that can be spared."""

IDLE_S = 15.0
"""A spare that nobody needs any more is looked at so often until it is empty."""

ENABLED_WITHIN_S = 60.0

Answered = tuple[bool, str]


# --------------------------------------------------------------------------- which


def fewest(asks: Sequence[Ask], kept: Sequence[Host], room: Room) -> Mapping[str, str]:
    """instance id -> spare, of all that spares can take, with as few of them as possible; of equal numbers the first by name."""
    most = _filled(asks, kept, room)
    wanted = [ask for ask in asks if ask.instance.instance_id in most]
    needed = set(most.values())
    for count in range(1, len(needed) + 1):
        if comb(len(kept), count) * count * len(wanted) > TRIED:
            return _without_idlers(wanted, [host for host in kept if host.name in needed], room)
        for chosen in combinations(kept, count):
            found = _filled(wanted, chosen, room)
            if len(found) == len(wanted):
                return found
    return most


def _without_idlers(asks: Sequence[Ask], chosen: Sequence[Host], room: Room) -> Mapping[str, str]:
    """Too many to try each choice: whoever can be left out is."""
    found = _filled(asks, chosen, room)
    for host in reversed(chosen):
        fewer = [other for other in chosen if other.name != host.name]
        without = _filled(asks, fewer, room)
        if len(without) == len(found):
            chosen, found = fewer, without
    return found


def _filled(asks: Iterable[Ask], spares: Sequence[Host], room: Room) -> Mapping[str, str]:
    """On paper, after all that was promised already."""
    free = {host.name: dict(room.free[host.name]) for host in spares if host.name in room.free}
    paper = Room(free, ground=room.ground, joined={group: dict(seats) for group, seats in room.joined.items()})
    found = place_all(asks, tuple(spares), paper)
    return {key: placed.target for key, placed in found.items() if isinstance(placed, Placed)}


# --------------------------------------------------------------------------- calling them up


@dataclass
class Reserve:
    """What the spares of one tick may take: those that are on their way, and those that could be had."""

    coming: Sequence[Host] = ()
    kept: Sequence[Host] = ()
    refused: list[tuple[Ask, Refused]] = field(default_factory=list)  # of all that is enabled, in their order

    def awaited(self, ask: Ask, room: Room) -> str:
        """The spare on its way that will take it, charged; "" when there is none."""
        found = place(ask, self.coming, room) if self.coming else None
        target = found.target if found is not None else ""
        if target:
            room.reserve(ask, target)
        return target


def reserve_now(draft: Draft, is_well: Callable[[Host], bool]) -> Reserve:
    """`is_well`: would it be a target if it were enabled?"""
    fleet, spares = draft.fleet, draft.roster.spares
    hosts = [host for _, host in sorted(fleet.hosts.items())] if fleet else []
    well = [host for host in hosts if (host.name in spares or draft.policy.in_reserve(host)) and is_well(host)]
    return Reserve(
        coming=tuple(host for host in well if host.name in spares and _is_coming(draft, spares[host.name])),
        kept=tuple(host for host in well if host.name not in spares and draft.may_write(host.name)),
    )


def _is_coming(draft: Draft, spare: Spare) -> bool:
    """Nobody is kept waiting for one that Nova refuses to enable, or has not enabled for long: another is called."""
    if spare.state is not SpareState.ENABLING or spare.give_back:
        return False
    return not (draft.certainly_not_done(_enable(spare).action_id) or draft.waited(f"enabling/{spare.loan}", ENABLED_WITHIN_S))


def _enable(spare: Spare, service_id: str = "") -> Action:
    return Action(spare.host, ActionKind.ENABLE, spare.loan, service_id=service_id)


def call_up(draft: Draft, reserve: Reserve, home: Mapping[str, str], room: Room) -> Mapping[str, str]:
    """instance id -> the spare that is enabled for it; `home`: of each instance its failed host."""
    places = fewest([ask for ask, _ in reserve.refused], reserve.kept, room) if reserve.kept and reserve.refused else {}
    for name in sorted(set(places.values())):
        hosts = {home[key] for key, target in places.items() if target == name}
        _borrow(draft, name, tuple(sorted(draft.records[host].incident for host in hosts)), sum(t == name for t in places.values()))
    return places


def _borrow(draft: Draft, name: str, incidents: tuple[str, ...], count: int) -> None:
    host = draft.host(name)
    assert host is not None, "it is of the fleet"
    stamp = draft.now.at.partition(".")[0].replace("-", "").replace(":", "").removesuffix("Z")
    reason = host.service.disabled_reason
    _save(draft, Spare(name, f"{name}-loan-{stamp}", reason, SpareState.ENABLING, incidents, draft.now.at))
    text = f"kept in reserve ({reason or 'no reason given'}), is enabled: {count} of the instances to restart fit nowhere else"
    draft.note(Level.WARNING, "spare-called", name, text, incidents[0])
    draft.wake(draft.now.s)


# --------------------------------------------------------------------------- and giving them back


def look_after(draft: Draft) -> None:
    """Every spare in use, one step on."""
    if draft.fleet is None:
        return  # nobody could look: its waits go on
    for name, spare in sorted(draft.roster.spares.items()):
        host = draft.host(name)
        if host is None:
            _drop(draft, spare, Level.WARNING, "Nova does not list it any more")
        elif _is_busy(draft, host):
            continue  # it has failed itself, or people work on it: what they do with its marks comes first
        else:
            RULES[spare.state](draft, spare, host)


def _is_busy(draft: Draft, host: Host) -> bool:
    record = draft.records.get(host.name)
    failed = record is not None and record.state is not HostState.SUSPECT
    return failed or host.name in draft.roster.maintenance or host.service.disabled_reason.startswith((MARKER, "AUTO: "))


def _enabling(draft: Draft, spare: Spare, host: Host) -> None:
    service = host.service
    if service.status == "enabled":
        draft.note(Level.WARNING, "spare-serves", host.name, "is enabled and takes instances", spare.incidents[0])
        _save(draft, replace(spare, state=step_spare(spare.state, SpareState.SERVING)))
        draft.wake(draft.now.s)
    elif not _is_wanted(draft, spare) and not _holds_something(draft, spare):
        _give_back(draft, spare, "is not needed any more before Nova has enabled it")
    elif service.state == "up" and not service.forced_down:  # enabled while it is down, Nova's scheduler goes on avoiding it
        action = _enable(spare, service.service_id)
        draft.act(action, draft.policy.retry_s)
        told = draft.outcome(action.action_id)
        if told is not None and told.result is Result.REFUSED:
            text = f"kept in reserve, cannot be enabled: {told.detail}; it is tried again, and others are called"
            draft.note_once(Level.ALARM, "spare-refused", host.name, text, spare.incidents[0])
        elif told is not None and told.result is Result.DONE:
            draft.reading(WantKind.FLEET, "", draft.policy.poll_s, told.finished_s)  # seen enabled at once, not at the next poll


def _serving(draft: Draft, spare: Spare, host: Host) -> None:
    if host.service.status == "disabled" and host.service.disabled_reason != spare.reason:
        said = f"was disabled by somebody else ({host.service.disabled_reason or 'no reason given'}): it is left to them"
        _drop(draft, spare, Level.WARNING, said)
    elif host.service.status == "disabled":
        _give_back(draft, spare, "was disabled again by somebody")
    elif _is_needed(draft, spare):
        draft.end_wait(f"unneeded/{spare.loan}")
    elif _is_empty(draft, spare, f"unneeded/{spare.loan}"):
        _give_back(draft, spare, "is empty and nobody needs it any more")


def _returning(draft: Draft, spare: Spare, host: Host) -> None:
    service = host.service
    if service.status == "enabled":
        draft.act(
            Action(host.name, ActionKind.DISABLE, spare.loan, service_id=service.service_id, reason=spare.reason), draft.policy.retry_s
        )
    elif _is_empty(draft, spare, f"disabled/{spare.loan}"):
        _drop(draft, spare, Level.WARNING, f"is in reserve again ({spare.reason or 'no reason given'})")
    elif _holds_something(draft, spare):
        draft.note(Level.WARNING, "spare-filled", host.name, "something was put on it while it was given back: it is enabled again")
        _save(draft, replace(spare, state=step_spare(spare.state, SpareState.ENABLING)))


RULES: Mapping[SpareState, Callable[[Draft, Spare, Host], None]] = {
    SpareState.ENABLING: _enabling,
    SpareState.SERVING: _serving,
    SpareState.RETURNING: _returning,
}


def _is_wanted(draft: Draft, spare: Spare) -> bool:
    """While it is being enabled: is anybody left who may need it?"""
    return not spare.give_back and any(record.state in RECOVERING and has_work(record) for record in draft.records.values())


def _is_needed(draft: Draft, spare: Spare) -> bool:
    """Is somebody away in whose place it stands, on the way to it, or about to need room at all?"""
    records = draft.records.values()
    coming = any(i.target == spare.host and i.state in IN_FLIGHT | {InstanceState.MOVED} for r in records for i in r.instances.values())
    if coming or spare.give_back:
        return coming
    away = (r for r in records if r.state is not HostState.SUSPECT)
    return any(r.incident in spare.incidents or (r.state in RECOVERING and has_work(r)) for r in away)


def _is_empty(draft: Draft, spare: Spare, wait: str) -> bool:
    """By complete reads begun after this was first asked: no instance is on it, and none on its way."""
    since_s = draft.since(wait)
    servers = draft.servers(spare.host, IDLE_S, since_s)
    migrations = draft.migrations(spare.host, IDLE_S, since_s)
    return servers is not None and migrations is not None and not servers and not any(m.is_open for m in migrations)


def _holds_something(draft: Draft, spare: Spare) -> bool:
    return bool(draft.servers(spare.host, IDLE_S))


def _give_back(draft: Draft, spare: Spare, why: str) -> None:
    draft.note(Level.WARNING, "spare-returns", spare.host, f"{why}: it is given back", spare.incidents[0])
    _save(draft, replace(spare, state=step_spare(spare.state, SpareState.RETURNING)))
    draft.wake(draft.now.s)


def _save(draft: Draft, spare: Spare) -> None:
    draft.roster = replace(draft.roster, spares=dict(sorted({**draft.roster.spares, spare.host: spare}.items())))


def _drop(draft: Draft, spare: Spare, level: Level, text: str) -> None:
    left = {host: other for host, other in draft.roster.spares.items() if host != spare.host}
    draft.roster = replace(draft.roster, spares=left)
    draft.note(level, "spare-ended", spare.host, text, spare.incidents[0])


# --------------------------------------------------------------------------- an operator's word


def give_back(draft: Draft, command: Command, _record: HostRecovery | None, _: object) -> Answered:
    """`hanode host spare HOST --give-back`"""
    spare = draft.roster.spares.get(command.host)
    if spare is None:
        return False, "it is not in use as a spare"
    _save(draft, replace(spare, give_back=True))
    return True, f"nothing new is put on it, and it is disabled when it is empty: `hanode host maintenance {command.host}` empties it"


def keep(draft: Draft, command: Command, _record: HostRecovery | None, _: object) -> Answered:
    """`hanode host spare HOST --keep`"""
    spare = draft.roster.spares.get(command.host)
    if spare is None:
        return False, "it is not in use as a spare"
    if spare.state is not SpareState.SERVING:
        return False, f"it is {spare.state}: try again when Nova calls it enabled"
    _drop(draft, spare, Level.WARNING, f"stays enabled by {command.who}: {command.why}")
    return True, "it stays enabled, as a host like any other"


def is_target(draft: Draft, host: str) -> bool:
    """May instances go there, as far as it is a spare? Not to one that is being given back."""
    spare = draft.roster.spares.get(host)
    return spare is None or (spare.state is SpareState.SERVING and not spare.give_back)
