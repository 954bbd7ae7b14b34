"""Do all hosts together look as if something else is wrong than these hosts? Then nobody is shot.

Each hold has a name, a reason and what ends it. Judged each tick, so also before each single power-off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanode.core.decisions import Hold, HoldKind, Judgement, Verdict
from hanode.core.lifecycle import ENDED, HostState
from hanode.core.model import Fleet, HostRecovery, Records, Service
from hanode.core.policy import Policy

SILENT = frozenset({Verdict.SUSPECT, Verdict.FAILED, Verdict.AGENT_DOWN, Verdict.HELD})
RECOVERING = frozenset({HostState.FENCING, HostState.NEEDS_OPERATOR, HostState.FENCED, HostState.EVACUATING})


@dataclass(frozen=True)
class Scene:
    """What the brake looks at."""

    fleet: Fleet | None
    why_no_fleet: str
    verdicts: Mapping[str, Judgement]
    records: Records
    policy: Policy
    in_office_s: float
    silent: frozenset[str] = frozenset()  # hosts that do not report, exempt ones too


def brake(scene: Scene) -> tuple[Hold, ...]:
    """Every hold that holds now, the most fundamental first; empty when hosts may be shot."""
    if scene.fleet is None and not scene.why_no_fleet:
        return _FIRST_READ
    if scene.fleet is None:
        return (*_office(scene), Hold("NOVA_UNREADABLE", HoldKind.CONTROL_PLANE, scene.why_no_fleet, "Nova answers os-services again"))
    rules = (_office, _cell_unknown, _control_silent, _stale_together, _too_many)
    return tuple(hold for rule in rules for hold in rule(scene))


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
    # Exempt hosts are never shot, but what they report tells of the bus as well as any other's.
    watched = [h for h in scene.verdicts if h in scene.records.roster.seen and _state(scene, h) not in RECOVERING]
    silent = [h for h in watched if h in scene.silent or scene.verdicts[h].verdict in SILENT]
    protected = [h for h in silent if scene.verdicts[h].verdict is not Verdict.EXEMPT]
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


def _too_many(scene: Scene) -> Sequence[Hold]:
    # Hosts that no leader ever saw up are not news; those that fell silent under an earlier hold are.
    quiet = {Verdict.SUSPECT, Verdict.FAILED}
    roster = scene.records.roster
    suspect = {h for h, j in scene.verdicts.items() if j.verdict in quiet or (j.verdict is Verdict.HELD and h in roster.held)}
    recovering = {h for h, r in scene.records.hosts.items() if r.state in RECOVERING and _has_work(r)}
    suspect -= {h for h, r in scene.records.hosts.items() if r.state in RECOVERING}  # dead, known, and counted above while it matters
    protected = sum(1 for j in scene.verdicts.values() if j.verdict is not Verdict.EXEMPT)
    troubled, limit = sorted(suspect | recovering), scene.policy.brake_limit(protected)
    if len(troubled) <= limit:
        return ()
    return (
        Hold(
            "TOO_MANY",
            HoldKind.STORM,
            f"{len(troubled)} of {protected} protected hosts are suspect or in recovery, more than {limit}: {_some(troubled)}",
            "enough of them are back, or you name the dead ones: `hanode brake release HOST...`",
        ),
    )


def _has_work(record: HostRecovery) -> bool:
    """A host whose instances have all found their end only waits to be taken back."""
    return record.state is not HostState.EVACUATING or any(i.state not in ENDED for i in record.instances.values())


def _state(scene: Scene, host: str) -> HostState:
    record = scene.records.hosts.get(host)
    return record.state if record else HostState.WATCHED


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
