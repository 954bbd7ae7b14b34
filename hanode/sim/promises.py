"""Was kept what is promised of placing? Where an instance may go, how many go at once, who goes first, what is given back.

None of it is a rule of safety (S1 to S8), and Nova itself refuses some of it. But its refusal turns a tenant's instance to ERROR, a
call that passes its scheduler by is not refused at all, and too many at once are slower than few. Judged from the world alone: from
its log, and from what it knows of hosts, servers and groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hanode.core.policy import MARKER
from hanode.sim.evidence import Evidence, Tick, Violation
from hanode.sim.posts import HANODE, OPEN, Ledger, posts
from hanode.sim.world import Event, ServerGroup, World

PROMISE = "promise"
NEWS_S = 30.0
"""Where the members of a group are is read each 15 s: who has come within so long need not be known."""

UNDER_WAY_S = 60.0
"""An evacuation that is open for longer may be given up already, and counts no more against the limits."""


def kept(evidence: Evidence) -> Iterator[Violation]:
    world = evidence.world
    yield from sent_where_it_may(world)
    yield from left_to_octavia(world)
    yield from kept_apart(world, evidence.ticks)
    yield from within_limits(evidence)
    yield from given_back(world, evidence.ticks)


def left_to_octavia(world: World) -> Iterator[Violation]:
    """An amphora has been replaced by then: a second one would fight for its addresses."""
    for event, _ in posts(world.log):
        if world.nova.is_tagged(world.servers.by_id[event.subject].image_id, "amphora"):
            yield _broken(event, "its image is an amphora's")


def _broken(event: Event, text: str) -> Violation:
    return Violation(PROMISE, event.time_s, f"{event.text}: {text}")


# --------------------------------------------------------------------------- where


def sent_where_it_may(world: World) -> Iterator[Violation]:
    """Into its availability zone, to a host with its traits, into aggregates that take it."""
    for event, _ in posts(world.log):
        problem = world.scheduler.forbids(world.hosts[event.facts["target"]], world.servers.by_id[event.subject])
        if problem:
            yield _broken(event, problem)


@dataclass
class _Guests:
    """Who runs where since when, as far as the log has been read."""

    since_s: dict[tuple[str, str], float] = field(default_factory=dict)  # (instance id, host)

    def read(self, event: Event) -> None:
        key = (event.facts.get("instance", ""), event.subject)
        if event.kind == "guest-start":
            self.since_s[key] = event.time_s
        elif event.kind == "guest-stop":
            self.since_s.pop(key, None)


def kept_apart(world: World, ticks: Sequence[Tick] = ()) -> Iterator[Violation]:
    """Hard anti-affinity: never to a host where another member runs, or to which one is on its way."""
    apart = {member: group for group in world.servers.groups if group.policy == "anti-affinity" for member in group.members}
    if not apart or any(note.event == "groups" for tick in ticks for note in tick.decisions.notes):
        return  # groups that cannot be read are not regarded, and that is said aloud
    ledger, guests = Ledger(), _Guests()
    for event in world.log:
        ours = event.kind == "evacuate-accepted" and event.facts["user"] == HANODE
        if ours and event.subject in apart:
            yield from _beside(event, apart[event.subject], ledger, guests, world)
        ledger.read(event)
        guests.read(event)


def _beside(event: Event, group: ServerGroup, ledger: Ledger, guests: _Guests, world: World) -> Iterator[Violation]:
    target = event.facts["target"]
    for member in sorted(group.members - {event.subject}):
        since_s = guests.since_s.get((member, target), float("inf"))
        coming = any(row["instance"] == member and row["target"] == target and row["status"] in OPEN and not ledger.is_strangers(row)
                     for row in ledger.rows.values())
        if coming or event.time_s - since_s > NEWS_S:
            name = world.servers.by_id[member].name
            yield _broken(event, f"{name} of its server group {group.name} {'is on its way there' if coming else 'runs there'}")


# --------------------------------------------------------------------------- how many


def within_limits(evidence: Evidence) -> Iterator[Violation]:
    """No more at once than the most generous policy of this run allows: in all, in a storage domain, to a target."""
    policies = evidence.policies or (evidence.policy,)
    most = {
        "all": max(policy.max_evacuations for policy in policies),
        "domain": max(policy.max_per_domain for policy in policies),
        "target": max(policy.max_per_target for policy in policies),
    }
    for event, ledger in posts(evidence.world.log):
        under_way = Counter(key for row in _under_way(event, ledger) for key in _scopes(row, evidence.world))
        for key in _scopes(event.facts, evidence.world):
            limit = most[key.partition(" ")[0]]
            if under_way[key] >= limit:
                yield _broken(event, f"{under_way[key]} of ours are under way ({key}), and only {limit} may be")


def _under_way(event: Event, ledger: Ledger) -> Iterator[Mapping[str, str]]:
    for row in ledger.rows.values():
        young = event.time_s - ledger.asked_s.get(row["request"], float("-inf")) < UNDER_WAY_S
        alive = row["target"] not in ledger.off and row["request"] not in ledger.never_cast
        if row["status"] in OPEN and young and alive and not ledger.is_strangers(row):
            yield row


def _scopes(row: Mapping[str, str], world: World) -> tuple[str, str, str]:
    return "all", f"domain {world.hosts[row['source']].domain.name}", f"target {row['target']}"


# --------------------------------------------------------------------------- in which order


def in_order(world: World, names: Sequence[str], runs_first: bool = False, last_time: bool = False) -> Iterator[Violation]:
    """Each was asked for before the next; `runs_first`: and ran again by then. For stories: who comes first is their point.

    `last_time`: of all failures that each went through, the last one is meant.
    """
    ids = [world.servers.named(name).instance_id for name in names]
    found = [event for event, _ in posts(world.log)]
    asked = {event.subject: event for event in found} if last_time else _first(found)
    for one, other in pairwise(ids):
        if one not in asked or other not in asked:
            continue  # of who is not asked for at all, others judge
        begun = asked[one]
        if runs_first:
            starts = (e for e in world.log if e.kind == "guest-start" and e.facts["instance"] == one and e.time_s > asked[one].time_s)
            begun = next(starts, asked[other])
        if (begun.time_s, world.log.index(begun)) >= (asked[other].time_s, world.log.index(asked[other])):
            former = f"before {world.servers.by_id[one].name}{' runs again' if runs_first else ''}"
            yield _broken(asked[other], f"it is asked for {former}, which comes first")


def _first(events: Iterable[Event]) -> Mapping[str, Event]:
    found: dict[str, Event] = {}
    for event in events:
        found.setdefault(event.subject, event)
    return found


def started_in_order(world: World, names: Sequence[str]) -> Iterator[Violation]:
    """hanode told Nova to start each of them before the next, and none before the disks of all were there. For stories."""
    starts = {e.subject: e for e in world.log if e.kind == "server-action" and e.facts["action"] == "start" and e.facts["user"] == HANODE}
    ids = [world.servers.named(name).instance_id for name in names]
    missing = [world.servers.by_id[key].name for key in ids if key not in starts]
    if missing:
        yield Violation(PROMISE, world.now_s, f"{', '.join(missing)} is never started by us, and is to be")
    for one, other in pairwise(key for key in ids if key in starts):
        if starts[one].time_s >= starts[other].time_s:
            yield _broken(starts[other], f"it is started before {world.servers.by_id[one].name}, which comes first")
    arrived = [e for e in world.log if e.kind == "migration" and e.facts["status"] == "done" and e.facts["instance"] in ids]
    begun_s = min((starts[key].time_s for key in ids if key in starts), default=world.now_s)
    yield from (_broken(e, "its disk comes after the first start") for e in arrived if e.time_s > begun_s)


def ends_on(world: World, name: str, host: str) -> Iterator[Violation]:
    """For stories: where it is to be at the end."""
    server = world.servers.named(name)
    if server.host != host:
        yield Violation(PROMISE, world.now_s, f"{name} is on {server.host} at the end, and is to be on {host}")


def by_itself(world: World, name: str) -> Iterator[Violation]:
    """The last time it was asked for, nothing else was on its way to its target, and nothing was sent there before it ran. For stories."""
    instance_id = world.servers.named(name).instance_id
    mine = [event for event, _ in posts(world.log) if event.subject == instance_id][-1:]
    for event, ledger in posts(world.log):
        if event in mine:
            target = event.facts["target"]
            beside = [row for row in ledger.rows.values() if row["target"] == target and row["status"] in OPEN]
            starts = (e for e in world.log if e.kind == "guest-start" and e.facts["instance"] == instance_id and e.time_s > event.time_s)
            runs_s = next((start.time_s for start in starts), world.now_s)
            after = [e for e, _ in posts(world.log) if e.facts["target"] == target and event.time_s <= e.time_s < runs_s and e is not event]
            if beside or after:
                yield _broken(event, f"{len(beside) + len(after)} others are sent to {target} with it, and it goes alone")


# --------------------------------------------------------------------------- given back


def given_back(world: World, ticks: Sequence[Tick]) -> Iterator[Violation]:
    """A host whose maintenance has ended, and of which nothing else is open, is not left disabled by us."""
    rosters = [tick.decisions.roster for tick in ticks if tick.decisions.roster is not None]
    ever = {host for roster in rosters for host in roster.maintenance}
    closed = {host for tick in ticks for host in _no_record_after(tick)}
    opened = {record.host for tick in ticks for record in tick.decisions.writes}
    for name in sorted(ever - set(rosters[-1].maintenance) if rosters else ()):
        host = world.hosts[name]
        ours = host.status == "disabled" and host.disabled_reason.startswith(f"{MARKER} maintenance")
        if ours and world.hosts.is_up(name) and (name not in opened or name in closed):
            yield Violation(PROMISE, world.now_s, f"{name} is up, its maintenance has ended, and it is still disabled"
                                                  f" ({host.disabled_reason})")


def _no_record_after(tick: Tick) -> Iterator[str]:
    yield from (closed.record.host for closed in tick.decisions.closes)
    yield from tick.decisions.forgets
