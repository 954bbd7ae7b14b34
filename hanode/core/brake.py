"""Do all hosts together look as if something else is wrong than these hosts? Then nobody is shot.

Each hold has a name, a reason and what ends it. Judged each tick, so also before each single power-off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hanode.core.decisions import Hold, HoldKind, Judgement, Verdict
from hanode.core.domains import FEWEST, at_once, declared
from hanode.core.facts import Fleet, Host, Service
from hanode.core.lifecycle import ENDED, HostState
from hanode.core.policy import MARKER, Policy
from hanode.core.records import HostRecovery, ProofKind, Records

ANSWERING = frozenset({Verdict.AGENT_DOWN, Verdict.PARTITIONED})
SILENT = frozenset({Verdict.SUSPECT, Verdict.FAILED, Verdict.HELD}) | ANSWERING
RECOVERING = frozenset({HostState.FENCING, HostState.NEEDS_OPERATOR, HostState.FENCED, HostState.EVACUATING})
PROVEN = frozenset({HostState.FENCED, HostState.EVACUATING})


@dataclass(frozen=True)
class Scene:
    """What the brake looks at."""

    fleet: Fleet | None
    why_no_fleet: str
    verdicts: Mapping[str, Judgement]
    records: Records
    policy: Policy
    in_office_s: float
    silent: Mapping[str, float] = field(default_factory=dict)  # host that does not report, exempt ones too -> since when
    proven: frozenset[str] = frozenset()  # hosts whose own devices read off twice, and that show no life
    named: frozenset[str] = frozenset()  # by an operator
    unasked: frozenset[str] = frozenset()  # hosts whose independent probe has not been asked yet
    cold: frozenset[str] = frozenset()  # hosts that have been silent since before this leader took office
    lately: frozenset[str] = frozenset()  # hosts that were in recovery within storm_window_s
    sick: Mapping[str, str] = field(default_factory=dict)  # storage domain -> why it is not known to be well; "": not asked yet

    @property
    def worked_on(self) -> frozenset[str]:
        """Hosts whose silence tells nothing, because people work on them."""
        return frozenset(host for host, work in self.records.roster.maintenance.items() if work.is_drained or work.is_kept)


def brake(scene: Scene) -> tuple[Hold, ...]:
    """Every hold that holds now, the most fundamental first; empty when hosts may be shot."""
    paused = (*_paused(scene), *_worked_on(scene))
    if scene.fleet is None and not scene.why_no_fleet:
        return (*paused, *_FIRST_READ)
    if scene.fleet is None:
        return (
            *paused,
            *_office(scene),
            Hold("NOVA_UNREADABLE", HoldKind.CONTROL_PLANE, scene.why_no_fleet, "Nova answers os-services again"),
        )
    rules = (_office, _cell_unknown, _control_silent, _stale_together, _cold_start, _too_many)
    found = (*paused, *_storage_sick(scene), *(hold for rule in rules for hold in rule(scene)))
    if any(hold.hosts is None and hold.kind in {HoldKind.CONTROL_PLANE, HoldKind.DOUBT} for hold in found):
        return (*found, *_gone(scene))  # what silences everybody silences each domain: said once
    return (*found, *_failure_domains(scene), *_gone(scene))


_FIRST_READ = (Hold("FIRST_READ", HoldKind.DELAY, "Nova's services are being read for the first time", "the first answer"),)


def _office(scene: Scene) -> Sequence[Hold]:
    left_s = scene.policy.office_hold_s - scene.in_office_s
    if left_s <= 0:
        return ()
    return (
        Hold("OFFICE", HoldKind.DELAY, "this leader took office too recently to have seen every host beat twice", "time: office_hold_s"),
    )


def _cell_unknown(scene: Scene) -> Sequence[Hold]:
    assert scene.fleet is not None
    rows = (*(h.service for h in scene.fleet.hosts.values()), *scene.fleet.control)
    dumb = sorted({f"{s.binary} on {s.host}" for s in rows if s.state is None})
    if not dumb:
        return ()
    return (
        Hold("CELL_UNKNOWN", HoldKind.CONTROL_PLANE, f"a Nova cell does not answer: no state of {_some(dumb)}", "the cell answers again"),
    )


def _control_silent(scene: Scene) -> Sequence[Hold]:
    assert scene.fleet is not None
    by_binary: dict[str, list[Service]] = {}
    for service in scene.fleet.control:
        by_binary.setdefault(service.binary, []).append(service)
    dead = [binary for binary, rows in sorted(by_binary.items()) if all(row.state == "down" for row in rows)]
    if not dead:
        return ()
    return (
        Hold(
            "CONTROL_SILENT",
            HoldKind.CONTROL_PLANE,
            f"every {' and '.join(dead)} is down: the control plane is sick, not the hosts",
            "one of them is up again",
        ),
    )


def _stale_together(scene: Scene) -> Sequence[Hold]:
    """All computes stale at once is the message bus or the conductors (measured: RabbitMQ frozen), never all hosts."""
    if sum(1 for h, j in scene.verdicts.items() if h in scene.silent or j.verdict in SILENT) < 2:
        return ()  # the usual case at ten thousand hosts
    # Exempt hosts are never shot, but what they report tells of the bus as well as any other's.
    seen = scene.records.roster.seen - scene.worked_on
    watched = [h for h in scene.verdicts if h in seen and _state(scene, h) not in RECOVERING]
    silent = [h for h in watched if h in scene.silent or scene.verdicts[h].verdict in SILENT]
    protected = [h for h in silent if scene.verdicts[h].verdict is not Verdict.EXEMPT]
    protected += [h for h, record in scene.records.hosts.items() if record.state is HostState.FENCING]
    if not protected or len(silent) < 2 or len(silent) < len(watched):
        return ()
    return (
        Hold(
            "STALE_TOGETHER",
            HoldKind.CONTROL_PLANE,
            f"all {len(silent)} watched hosts fell silent together: the message bus or our view of it",
            "some of them report again",
        ),
    )


def _cold_start(scene: Scene) -> Sequence[Hold]:
    """After the power of a whole room failed, hosts that read off are about to be switched on: not even proof frees them."""
    roster, verdicts = scene.records.roster, scene.verdicts
    spared = {Verdict.EXEMPT} | ANSWERING
    silent = sorted(
        host
        for host in (scene.cold & roster.seen) - scene.named - scene.worked_on
        if _state(scene, host) not in RECOVERING and verdicts[host].verdict not in spared
    )
    protected, limit = _limit(scene)
    if len(silent) <= limit:
        return ()
    return (
        Hold(
            "COLD_START",
            HoldKind.STORM,
            f"{len(silent)} of {protected} protected hosts were silent when this leader took office, more than {limit}: {_some(silent)}",
            "enough of them are up, or you name the dead ones: `hanode brake release HOST...`",
            hosts=scene.cold,
            posts=True,
        ),
    )


def _too_many(scene: Scene) -> Sequence[Hold]:
    """Counts doubt: a host whose own devices were found off, before any off of ours, is dead for sure and no sign of a storm."""
    # Hosts that no leader ever saw up are not news; those that fell silent under an earlier hold are.
    quiet = {Verdict.SUSPECT, Verdict.FAILED}
    roster, records = scene.records.roster, scene.records.hosts
    suspect = {h for h, j in scene.verdicts.items() if j.verdict in quiet or (j.verdict is Verdict.HELD and h in roster.held)}
    found_dead = {h for h, r in records.items() if was_found_dead(r) or (h in scene.proven and not r.fence_attempt)}
    recovering = {h for h, r in records.items() if r.state in RECOVERING and has_work(r)} - found_dead
    # Dead, known, and counted as recovering while it matters.
    suspect -= {h for h, r in records.items() if r.state in RECOVERING} | scene.proven | scene.worked_on
    now, earlier = suspect | recovering, scene.lately - suspect - recovering
    if not now:
        return ()
    protected, limit = _limit(scene)
    troubled = sorted(now | earlier)
    if len(troubled) <= limit:
        return ()
    past = f" ({len(earlier)} of them in the last {scene.policy.storm_window_s:.0f} s)" if earlier else ""
    return (
        Hold(
            "TOO_MANY",
            HoldKind.DOUBT,
            f"{len(troubled)} of {protected} protected hosts are suspect or in recovery{past}, more than {limit}: {_some(troubled)}",
            "enough of them are back, or you name the dead ones: `hanode brake release HOST...`",
        ),
    )


def _limit(scene: Scene) -> tuple[int, int]:
    """How many hosts are protected, and how many of them may be in trouble at once."""
    protected = sum(1 for j in scene.verdicts.values() if j.verdict is not Verdict.EXEMPT)
    return protected, scene.policy.brake_limit(protected)


def _failure_domains(scene: Scene) -> Iterator[Hold]:
    """Hosts that share a rack, a switch or a store and are silent, all of them: that is what they share, not each of them."""
    assert scene.fleet is not None
    silent = {name for name, judgement in scene.verdicts.items() if name in scene.silent or judgement.verdict in SILENT}
    if len(silent) < FEWEST:
        return
    present = {name: host for name, host in scene.fleet.hosts.items() if _tells(scene, host)}
    silent &= present.keys()
    told: set[str] = set()
    for label, members in declared(present, scene.policy).items():
        if members <= silent:
            told |= members
            yield from _domain(scene, f"all {len(members)} hosts of {label} are silent", members)
    since_s = {name: since_s for name, since_s in scene.silent.items() if name in silent}
    for group in at_once(since_s, 2 * scene.policy.report_interval_s):
        if not group <= told:
            yield from _domain(scene, f"{len(group)} hosts fell silent at once, which is more likely one cause than so many", group)


def _tells(scene: Scene, host: Host) -> bool:
    """Does its silence tell of its surroundings? Not of a host in maintenance, nor of one that has been dead for long."""
    record, service = scene.records.hosts.get(host.name), host.service
    if host.name not in scene.records.roster.seen or host.name in scene.worked_on:
        return False
    if record is None or record.state not in RECOVERING:
        ours = service.disabled_reason.startswith((MARKER, "AUTO: "))
        return not service.forced_down and (service.status != "disabled" or ours)
    return has_work(record) or host.name in scene.lately


def _domain(scene: Scene, why: str, members: frozenset[str]) -> Sequence[Hold]:
    lifeless = {name for name in members if _shows_no_life(scene, name)}
    unproven = sorted(name for name in lifeless - scene.proven if _state(scene, name) not in PROVEN)
    if not unproven:
        return ()
    return (
        Hold(
            "FAILURE_DOMAIN",
            HoldKind.DOUBT,
            f"{why}; not proven dead: {_some(unproven)}",
            "one of them reports again, each of them is read off twice, or you name the dead ones: `hanode brake release HOST...`",
            hosts=frozenset(lifeless),
        ),
    )


def _shows_no_life(scene: Scene, host: str) -> bool:
    """As far as was looked: nobody is HELD in the moment before its probe is first asked."""
    verdict = scene.verdicts[host].verdict
    return verdict not in {Verdict.EXEMPT} | ANSWERING and not (verdict is Verdict.SUSPECT and host in scene.unasked)


def _storage_sick(scene: Scene) -> Iterator[Hold]:
    """Guests and agents of a sick store stand still on living hosts, and whatever is begun on it hangs or fails."""
    assert scene.fleet is not None
    for domain, why in sorted(scene.sick.items()):
        members = frozenset(n for n, h in scene.fleet.hosts.items() if (d := scene.policy.domain_of(h)) is not None and d.name == domain)
        # Who has not been asked about yet only makes everybody wait: a new leader's first look must not leave hosts HELD.
        kind, reason = (HoldKind.DOUBT, why) if why else (HoldKind.DELAY, "its health command is asked for the first time")
        ends = "its health command calls it well"
        unproven = members - scene.proven
        yield Hold("STORAGE_SICK", kind, f"storage {domain}: {reason}", ends, hosts=unproven, waiting=members)


def _gone(scene: Scene) -> Iterator[Hold]:
    """The name in the incident does not mean the same machine any more: only a person can say what it means now."""
    assert scene.fleet is not None
    for name, record in sorted(scene.records.hosts.items()):
        host = scene.fleet.hosts.get(name)
        same = host is not None and record.service_id in {"", host.service.service_id}
        if record.state not in RECOVERING or same:
            continue
        reason = f"Nova does not list {name} any more: it was deleted or renamed while its recovery is open"
        if host is not None:
            reason = f"{name} was registered anew as service {host.service.service_id} while its recovery is open"
        again = "Nova lists it again" if host is None else f"you name it: `hanode brake release {name}`"
        # A source that lives while evacuations from it are open is shot whatever it is called (S2).
        ends = f"{again}, or `hanode incident abandon {name}`"
        yield Hold("GONE", HoldKind.STORM, reason, ends, hosts=frozenset({name}), fences=not record.is_open, posts=True)


def _paused(scene: Scene) -> Iterator[Hold]:
    roster = scene.records.roster
    if roster.paused:
        ends = f"`hanode resume`, or by itself in about {roster.paused_s / 60:.0f} min; who fell silent meanwhile stays held"
        yield Hold("OPERATOR_PAUSE", HoldKind.OPERATOR, roster.paused, ends, posts=True)


def _worked_on(scene: Scene) -> Iterator[Hold]:
    """Of a host that was not drained an operator has said that its silence means nothing, for so long."""
    for host, work in sorted(scene.records.roster.maintenance.items()):
        if work.is_kept and not work.is_overdue:
            reason = f"{work.who} works on {host}, with its instances on it: {work.why}"
            ends = f"`hanode host maintenance {host} --end`, or by itself in about {work.left_s / 60:.0f} min"
            yield Hold("MAINTENANCE", HoldKind.OPERATOR, reason, ends, hosts=frozenset({host}), posts=True)


def has_work(record: HostRecovery) -> bool:
    """A host whose instances have all found their end only waits to be taken back."""
    return record.state is not HostState.EVACUATING or any(i.state not in ENDED for i in record.instances.values())


def was_found_dead(record: HostRecovery) -> bool:
    """Its own devices read off before we had asked for it."""
    return record.proof is not None and record.proof.kind is ProofKind.DEVICE and record.fence_attempt == 0


def _state(scene: Scene, host: str) -> HostState:
    record = scene.records.hosts.get(host)
    return record.state if record else HostState.WATCHED


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
