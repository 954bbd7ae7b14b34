"""Did anything happen that must never happen? Judged from the world, its log, the journal's commits and the port calls.

Never from what the daemon believes: its decisions are asked only for what it knew when it acted (S4) and for what it
claims in the end (S8, L1), and both claims are compared with the world. The invariants are those of the architecture page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from hanode.core.accounts import NOT_OURS
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import ActionKind
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.engine.codec import EPOCH, RENEWED
from hanode.engine.testimony import WITNESS
from hanode.sim.cut_judges import given_back_rightly, is_cut_off, was_cut
from hanode.sim.evidence import Evidence, Tick, Violation
from hanode.sim.knowledge import acted_on_what_it_knew, canaries_of, latest_record, was_fenced
from hanode.sim.node import PortCall
from hanode.sim.ports import Commit
from hanode.sim.posts import BLOCKING, HANODE, OPEN, Ledger, by_strangers, posts
from hanode.sim.promises import kept
from hanode.sim.world import Event, Server, World

MOVING = OPEN | {"preparing", "running", "migrating", "post-migrating"}
IRREVERSIBLE = frozenset({"fencer.power_off", "fencer.power_on", "stores.cut", "stores.restore", "cloud.evacuate"})
ORDERS = {
    "fencer.power_off": frozenset({ActionKind.POWER_OFF}),
    "stores.cut": frozenset({ActionKind.CUT, ActionKind.KEEP_CUT}),
}


def judge(evidence: Evidence) -> tuple[Violation, ...]:
    """Every safety violation, in order of time."""
    world = evidence.world
    doubled = by_strangers(world.log)
    found = (
        *one_writer(world, evidence.answered_for, doubled),
        *source_off(world.log, evidence.confirmed, evidence.policy.proof_s, partial(is_cut_off, world, evidence.policy)),
        *one_evacuation(world.log, evidence.unseen_s),
        *one_move(world.log, 3 * evidence.policy.report_interval_s),
        *fenced_rightly(evidence),
        *acted_on_what_it_knew(evidence),
        *in_office(evidence.commits, evidence.calls),
        *no_data_lost(world, {*evidence.may_lose_data, *doubled}),
        *released_rightly(world.log),
        *given_back_rightly(world.log),
        *targets_stay(world.log),
        *kept(evidence),
    )
    return tuple(sorted(found, key=lambda violation: (violation.time_s, violation.invariant, violation.text)))


def digest(log: Iterable[Event]) -> str:
    """D1: the same seed gives the same digest."""
    lines = hashlib.sha256()
    for event in log:
        lines.update(event.line().encode() + b"\n")
    return lines.hexdigest()


# --------------------------------------------------------------------------- S1, S6: disks


def one_writer(world: World, answered_for: Collection[str] = (), doubled: Collection[str] = ()) -> Iterator[Violation]:
    """S1: no instance runs on two hosts, be it on one disk or on two; `doubled` are instances that somebody else has seen to."""
    names = world.servers.names()
    for instance_id in sorted(set(names) - set(doubled)):
        # Of a guest with several disks the one counts that it could write longest: a store cuts it off from its own disks only.
        ended = sorted((w for disk in world.disks.of_instance(instance_id) for w in disk.writers), key=lambda w: w.ends_s)
        writers = sorted({(w.from_s, w.boot, w.host): w for w in ended}.items())
        for (_, one), (_, other) in combinations(writers, 2):
            if one.host != other.host and one.overlaps(other) and one.host not in answered_for:
                yield Violation("S1", other.from_s, f"{names[instance_id]} starts on {other.host} while it runs on {one.host}"
                                                    f" since {one.from_s:.3f} s")


def no_data_lost(world: World, may_lose_data: Collection[str]) -> Iterator[Violation]:
    """S6: no disk is made anew, and none destroyed, of an instance whose owner did not allow it."""
    names = world.servers.names()
    for event in world.log:
        instance_id = event.facts.get("instance", "")
        if event.kind not in ("data-loss", "disk-destroyed") or instance_id in may_lose_data:
            continue
        # The old copy may go when the owner deleted the server; it must not go because Nova took it for moved.
        yield Violation("S6", event.time_s, f"{names[instance_id]} on {event.subject}: {event.text}")


# --------------------------------------------------------------------------- S2, S3, S7: what Nova accepted


def source_off(
    log: Iterable[Event], confirmed: Collection[str] = (), proof_s: float = 0.0, is_cut: Callable[[Event, Ledger], bool] | None = None,
) -> Iterator[Violation]:
    """S2: at each accepted POST of ours the source is really off; who is switched on within `proof_s` before cannot be seen.

    Or it is really cut off from every disk of this one instance (`is_cut`).
    """
    for event, ledger in posts(log):
        source = event.facts["source"]
        just_now = event.time_s - ledger.on_s.get(source, float("-inf")) < proof_s
        if source in ledger.off or source in confirmed or just_now or (is_cut and is_cut(event, ledger)):
            continue
        yield Violation("S2", event.time_s, f"evacuation accepted ({event.text}) while {source} is powered on")


def one_evacuation(log: Iterable[Event], unseen_s: float = 0.0) -> Iterator[Violation]:
    """S3: no POST of ours for an instance of which another evacuation may still run; one of others is seen after `unseen_s`."""
    for event, ledger in posts(log):
        for number, row in ledger.may_still_run(event.subject):
            if ledger.is_strangers(row) and event.time_s - ledger.asked_s[row["request"]] < unseen_s:
                continue
            yield Violation("S3", event.time_s, f"evacuation accepted ({event.text}) while record {number} to"
                                                f" {row['target'] or 'any host'} is {row['status']}")


def one_move(log: Iterable[Event], unseen_s: float) -> Iterator[Violation]:
    """S3: no migration of ours of an instance that is being moved already; and none from a host that has been off for `unseen_s`."""
    rows: dict[str, Mapping[str, str]] = {}
    off_s: dict[str, float] = {}
    for event in log:
        if event.kind == "power":
            off_s[event.subject] = event.time_s if event.facts["to"] == "off" else float("inf")
        elif event.kind == "migration":
            rows[event.subject] = event.facts
        elif event.kind == "move-accepted" and event.facts["user"] == HANODE:
            for number, row in rows.items():
                if row["instance"] == event.subject and row["status"] in MOVING:
                    yield Violation("S3", event.time_s, f"{event.text} while migration {number} of it is {row['status']}")
            if event.time_s - off_s.get(event.facts["source"], float("inf")) > unseen_s:
                yield Violation("S3", event.time_s, f"{event.text}, which is off: Nova keeps its task for ever, and it cannot be evacuated")


def released_rightly(log: Iterable[Event]) -> Iterator[Violation]:
    """S7: we neither enable a host nor clear its forced_down while an evacuation record could still act on it."""
    ledger, told_down = Ledger(), set[str]()
    for event in log:
        ledger.read(event)
        if event.kind == "service" and event.facts["to"] == "forced-down":
            told_down.add(event.subject)
        released = event.kind == "service" and event.facts["to"] in ("enabled", "forced-up")
        if not released or event.facts["user"] != HANODE:
            continue
        # A target that had only fallen silent was never taken out of service: what has arrived there stays there.
        as_target = BLOCKING if event.subject in told_down else OPEN
        for number, row in ledger.rows.items():
            by_source = row["status"] in BLOCKING and event.subject == row["source"]
            if by_source or (row["status"] in as_target and event.subject == row["target"]):
                yield Violation("S7", event.time_s, f"{event.text} while evacuation record {number} from {row['source']} to"
                                                    f" {row['target'] or 'any host'} is {row['status']}")


def targets_stay(log: Iterable[Event]) -> Iterator[Violation]:
    """S7: a host that an unfinished evacuation names as its source is no target: its next start would destroy what came to it."""
    for event, ledger in posts(log):
        for number, row in ledger.rows.items():
            if row["status"] in BLOCKING and row["source"] == event.facts["target"]:
                yield Violation("S7", event.time_s, f"{event.text}, which evacuation record {number} ({row['status']}) names as its source")


# --------------------------------------------------------------------------- S4: fencing


def fenced_rightly(evidence: Evidence) -> Iterator[Violation]:
    """S4: every off was ordered by a tick without a hold, after the office hold, within max_fencing, and not at a living host."""
    yield from _living_hosts_shot(evidence)
    if evidence.ticks:
        offs = [call for call in evidence.calls if call.name in ORDERS]
        for call in offs:
            yield from _order_of(call, evidence)
        yield from _too_many_at_once(offs, evidence)


def _living_hosts_shot(evidence: Evidence) -> Iterator[Violation]:
    """A host that beats and answers for a while already; one that came to life this very moment cannot be known to."""
    interval_s = evidence.world.timings.report_interval_s
    for event in evidence.world.log:
        if event.kind not in {"off-command", "cut-command"} or event.subject in evidence.may_be_fenced_alive:
            continue
        facts = event.facts
        beats = float(facts["beat_age_s"]) <= 1.5 * interval_s and float(facts["beating_for_s"]) > 3 * interval_s
        lives = facts["powered"] == "on" and facts["answers"] == "True" and beats
        canaries = canaries_of(event.subject, event.time_s, evidence.ticks)
        if canaries is not None:
            yield from _others_shot(event, canaries, evidence.world)
        elif lives and not was_fenced(event.subject, event.time_s, evidence.ticks):
            yield Violation("S4", event.time_s, f"{event.subject} is told off although it answers and its last heartbeat is"
                                                f" {facts['beat_age_s']} s old")


def _others_shot(event: Event, canaries: Collection[str], world: World) -> Iterator[Violation]:
    """An operator gave the lives of the canaries to a drill, and of nobody else."""
    for disk in world.disks.all():
        ran = any(w.host == event.subject and w.from_s <= event.time_s and (w.to_s is None or w.to_s >= event.time_s) for w in disk.writers)
        if ran and disk.instance_id not in canaries:
            name = world.servers.names()[disk.instance_id]
            yield Violation("S4", event.time_s, f"{event.subject} is told off for a drill while {name} runs on it, which is no canary")


def _order_of(call: PortCall, evidence: Evidence) -> Iterator[Violation]:
    """The newest tick of this node that wanted this off, and what it knew."""
    tick = next((tick for tick in reversed(evidence.ticks) if tick.node == call.node and tick.time_s <= call.time_s
                 and _orders(tick, call)), None)
    if tick is None:
        yield Violation("S4", call.time_s, f"{call.node} tells {call.subject} off, and no tick of it has decided that")
        return
    if ActionKind.KEEP_CUT in _orders(tick, call):
        if not was_cut(call.subject, call.time_s, evidence.ticks):
            yield Violation("S4", call.time_s, f"{call.node} keeps {call.subject} cut off, which was never decided")
        return  # a cut that stood is kept up whatever the brake says
    named = f"named/{call.subject}" in tick.decisions.timers.waits  # by a person
    for hold in (h for h in tick.decisions.holds if h.fences and h.speaks_to(call.subject, named)):
        yield Violation("S4", call.time_s, f"{call.node} tells {call.subject} off while {hold.name} holds: {hold.reason}")
    in_office_s = call.clock_s - tick.decisions.timers.office_since_s
    if in_office_s < evidence.policy.office_hold_s:
        yield Violation("S4", call.time_s, f"{call.node} tells {call.subject} off after only {in_office_s:.3f} s in office")


def _orders(tick: Tick, call: PortCall) -> frozenset[ActionKind]:
    return frozenset(action.kind for action in tick.decisions.actions if action.host == call.subject and action.kind in ORDERS[call.name])


def _too_many_at_once(offs: Sequence[PortCall], evidence: Evidence) -> Iterator[Violation]:
    limit = evidence.policy.max_fencing
    for call in offs:
        began_s = _journal_began_s(call.time_s, evidence.commits)  # what a lost journal said, nobody can count any more
        told = {earlier.subject for earlier in offs if began_s <= earlier.time_s <= call.time_s}
        ticks = [tick for tick in evidence.ticks if tick.time_s >= began_s]
        fencing = sorted(host for host in told if _is_fencing(host, call.time_s, ticks))
        if len(fencing) > limit:
            yield Violation("S4", call.time_s, f"{call.node} tells {call.subject} off, the hosts {', '.join(fencing)} are being"
                                               f" fenced at once and only {limit} may be")


def _journal_began_s(time_s: float, commits: Sequence[Commit]) -> float:
    """When office was last taken in an empty journal."""
    first = [c.time_s for c in commits if c.happened and EPOCH in c.transaction.puts and not c.transaction.compares.get(EPOCH)]
    return max((at_s for at_s in first if at_s <= time_s), default=0.0)


def _is_fencing(host: str, time_s: float, ticks: Sequence[Tick]) -> bool:
    """Told off or cut off in this round; after an earlier one, or one that it outlived, it waits for its turn like any other."""
    record = latest_record(host, time_s, ticks)
    told = record is not None and bool(record.offs or record.cut_tries) and not record.outlived
    return told and record is not None and record.state is HostState.FENCING


# --------------------------------------------------------------------------- S5: office


def in_office(commits: Sequence[Commit], calls: Sequence[PortCall]) -> Iterator[Violation]:
    """S5: nobody writes to the journal, and nobody acts irreversibly, whose epoch was replaced."""
    holders: list[tuple[float, str]] = []  # since when which node holds office; "" = resigned
    renewed: tuple[float, float] | None = None  # when, and for how long
    for commit in commits:
        if not commit.happened:
            continue
        taken = commit.transaction.puts.get(EPOCH)
        if taken is not None:
            if EPOCH not in commit.transaction.compares:
                yield Violation("S5", commit.time_s, f"{commit.node} writes the epoch without comparing it")
            resigned = json.loads(taken).get("resigned")
            if renewed and not resigned and holders and holders[-1][1] not in ("", commit.node) and commit.time_s < renewed[0] + renewed[1]:
                yield Violation("S5", commit.time_s, f"{commit.node} takes office {commit.time_s - renewed[0]:.3f} s after"
                                                     f" {holders[-1][1]} has renewed it for {renewed[1]:g} s")
            holders.append((commit.time_s, "" if resigned else commit.node))
        elif not _is_own_testimony(commit) and (not holders or holders[-1][1] != commit.node):
            keys = ", ".join((*commit.transaction.puts, *commit.transaction.deletes))
            yield Violation("S5", commit.time_s, f"{commit.node} writes {keys} although {_holder(holders)} holds office")
        if RENEWED in commit.transaction.puts:
            renewed = commit.time_s, float(json.loads(commit.transaction.puts[RENEWED])["ttl_s"])
    for call in calls:
        if call.name in IRREVERSIBLE and call.node not in _holders_at(call.time_s, holders):
            before = [holder for holder in holders if holder[0] <= call.time_s]
            yield Violation("S5", call.time_s, f"{call.node} does {call.name} of {call.subject} although {_holder(before)}"
                                               " holds office")


def _is_own_testimony(commit: Commit) -> bool:
    """A standby's word about what it sees: its own key, as it last was, and nothing else."""
    return {*commit.transaction.puts, *commit.transaction.deletes} == {WITNESS + commit.node} == {*commit.transaction.compares}


def _holder(holders: Sequence[tuple[float, str]]) -> str:
    return (holders[-1][1] if holders else "") or "nobody"


def _holders_at(time_s: float, holders: Sequence[tuple[float, str]]) -> frozenset[str]:
    """Everybody who held office at that moment; a change at the very same moment counts for both."""
    before = [node for since_s, node in holders if since_s < time_s][-1:]
    return frozenset((*before, *(node for since_s, node in holders if since_s == time_s)))


# --------------------------------------------------------------------------- S8, L1: nobody is forgotten


@dataclass(frozen=True)
class Was:
    """A server before the faults began, as it really was."""

    name: str
    host: str
    vm_state: str
    running: bool
    locked: bool
    time_s: float


def remember(world: World) -> Mapping[str, Was]:
    """To be called before the faults begin."""
    return {
        s.instance_id: Was(s.name, s.host, s.vm_state, bool(world.hosts.running(s.instance_id)), s.locked, world.now_s)
        for s in world.servers.live()
    }


def accounted(world: World, before: Mapping[str, Was], recoveries: Sequence[HostRecovery]) -> Iterator[Violation]:
    """S8: every server of a host that was fenced is accounted for, and the account is true.

    `recoveries`: the closed ones and those still open, in the order in which they were opened.
    """
    fenced = {recovery.host for recovery in recoveries if recovery.proof is not None and not recovery.observe_only}
    latest = _latest(recoveries)
    doubled = by_strangers(world.log)  # their second guest shows nowhere in Nova
    for instance_id, was in sorted(before.items()):
        if was.host in fenced and instance_id not in doubled:
            problem = _account(world, was, world.servers.by_id[instance_id], latest.get(instance_id))
            if problem:
                yield Violation("S8", world.now_s, f"{was.name}, on {was.host} when it failed, {problem}")


def all_recovered(
    world: World, before: Mapping[str, Was], placeable: Collection[str], recoveries: Sequence[HostRecovery],
) -> Iterator[Violation]:
    """L1: when the faults have stopped, every server for which there is a place is as it was, or STUCK with a reason."""
    latest = _latest(recoveries)
    for instance_id in sorted(placeable):
        was, server, record = before[instance_id], world.servers.by_id[instance_id], latest.get(instance_id)
        stuck = record is not None and record.state is InstanceState.STUCK and record.reason
        problem = "" if server.deleted or stuck else _difference(world, was, server)
        if problem:
            claim = f" ({record.state}: {record.reason})" if record else " (no record)"
            yield Violation("L1", world.now_s, f"{was.name} {problem}{claim}")


def _latest(recoveries: Iterable[HostRecovery]) -> Mapping[str, InstanceRecovery]:
    """What each record says of its instances, the latest winning; what a mere suspicion has written down is no account yet."""
    return {
        instance_id: entry
        for recovery in recoveries for instance_id, entry in recovery.instances.items()
        if recovery.state is not HostState.SUSPECT or entry.state is not InstanceState.PENDING
    }


def _account(world: World, was: Was, server: Server, record: InstanceRecovery | None) -> str:
    """What is wrong with the account, or nothing."""
    if record is None:
        moved_before = server.host != was.host  # by its owner, or by an administrator
        return "" if server.deleted or was.vm_state in NOT_OURS or moved_before else "is in no record"
    if record.state is InstanceState.GONE:
        # Nova may need its host for the last step; posting it would bring it back to life.
        return "" if server.deleted or _is_being_deleted(server) else "is called gone and exists"
    if record.state in (InstanceState.VERIFIED, InstanceState.RETURNED):
        if not server.deleted and any(a.name == "delete" and a.user not in (None, HANODE) for a in server.actions):
            return "was deleted by its owner and was brought back"
        return "" if server.deleted else _difference(world, was, server)
    if record.state in (InstanceState.WAITING, InstanceState.FAILED, InstanceState.STUCK, InstanceState.SKIPPED):
        return "" if record.reason else f"is {record.state} without a reason"
    return f"is left {record.state}"


def _is_being_deleted(server: Server) -> bool:
    return server.task_state in ("deleting", "soft-deleting") or server.vm_state == "soft-delete"


def _difference(world: World, was: Was, server: Server) -> str:
    """How the server really differs from what it was, as far as its owner has not changed it since."""
    owners = {a.name for a in server.actions if a.user not in (None, HANODE) and a.time_s > was.time_s}
    running = world.hosts.running(server.instance_id)
    changed = owners & {"start", "stop", "delete", "resize", "migrate"}
    if server.task_state is not None:
        return f"is still in task {server.task_state}"
    if was.running and running != (server.host,) and not changed:
        return f"ran before and runs on {', '.join(running) or 'no host'}, Nova says {server.host}"
    if not was.running and running and not changed:
        return f"was off before and runs on {', '.join(running)}"
    if not was.running and not world.hosts[server.host].lives:
        return f"was off before and lies on {server.host}, which is dead"
    if was.vm_state in ("active", "stopped") and server.vm_state != was.vm_state and not changed:
        return f"was {was.vm_state} before and is {server.vm_state}"
    if server.locked != was.locked and not owners & {"lock", "unlock"}:
        return f"was {'locked' if was.locked else 'not locked'} before and is {'locked' if server.locked else 'not'}"
    return ""
