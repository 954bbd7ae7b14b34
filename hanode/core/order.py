"""Which instance first, over all failed hosts together, and who waits for whom?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hanode.core.lifecycle import InstanceState
from hanode.core.priority import ORDER, Priority
from hanode.core.records import InstanceRecovery
from hanode.core.serving import is_silent

COMING = frozenset({InstanceState.PENDING, InstanceState.REQUESTED, InstanceState.UNDERWAY})
"""Not ready yet, and on its way. Who cannot be placed, is given up or is not ours keeps nobody waiting."""


@dataclass(frozen=True)
class Line:
    """All instances of all failed hosts, by id, and what follows from who names whom."""

    entries: Mapping[str, InstanceRecovery]
    needs: Mapping[str, frozenset[str]]  # instance id -> ids that it starts after; free of cycles
    depth: Mapping[str, int]  # instance id -> so many start one after the other once it is there
    tier: int  # the highest priority of which somebody is still coming
    cycles: tuple[str, ...]  # where a circle was broken, in words
    others_come: bool = False  # somebody is coming who does not go last
    starting: int = len(ORDER)  # the highest priority of which somebody has arrived stopped and is to be started

    def awaited(self, entry: InstanceRecovery) -> tuple[InstanceRecovery, ...]:
        """Whom it starts after and who is still coming."""
        needed = sorted(self.needs.get(entry.instance_id, ()))
        return tuple(self.entries[key] for key in needed if is_awaited(self.entries[key]))

    def is_early(self, entry: InstanceRecovery) -> bool:
        """Is somebody of a higher priority still coming?"""
        return rank(entry) > self.tier


def is_awaited(entry: InstanceRecovery) -> bool:
    """It is on its way, or active and has not shown yet that it serves. Nobody waits for one that goes last itself."""
    return (entry.state in COMING and not entry.is_doubted) or entry.is_to_start or is_silent(entry)


def rank(entry: InstanceRecovery) -> int:
    return ORDER[Priority(entry.priority)]


def line_of(entries: Iterable[InstanceRecovery]) -> Line:
    known = {entry.instance_id: entry for entry in sorted(entries, key=lambda e: e.instance_id)}
    wanted = {key: _needed_by(entry, known) for key, entry in known.items() if entry.after}
    needs, cycles = _without_circles(wanted, known)
    tier = min((rank(entry) for entry in known.values() if is_awaited(entry)), default=len(ORDER))
    others_come = any(entry.state in COMING and not entry.is_doubted for entry in known.values())
    starting = min((rank(entry) for entry in known.values() if entry.is_to_start), default=len(ORDER))
    return Line(known, needs, _depths(known, needs), tier, cycles, others_come, starting)


def restart_order(instances: Iterable[InstanceRecovery], depth: Mapping[str, int] | None = None) -> tuple[InstanceRecovery, ...]:
    """By priority; among equals whoever most others wait for, those that ran, the least tried, the largest; then by name.

    Those that may be what kills hosts come after all others. The large ones first, because the small ones still find room beside
    them. The same for every leader.
    """
    depths = depth or {}
    return tuple(
        sorted(
            instances,
            key=lambda i: (
                i.is_doubted,
                rank(i),
                -depths.get(i.instance_id, 0),
                i.before.power_state != "running",
                i.attempt,
                tuple(-i.resources.get(name, 0) for name in ("MEMORY_MB", "VCPU")),
                i.name,
                i.instance_id,
            ),
        )
    )


def _needed_by(entry: InstanceRecovery, known: Mapping[str, InstanceRecovery]) -> frozenset[str]:
    """Within its project only: nobody names the instances of others."""
    return frozenset(
        key
        for key, other in known.items()
        if other.project_id == entry.project_id and key != entry.instance_id and ({other.name, other.group, key} & set(entry.after))
    )


def _without_circles(
    wanted: Mapping[str, frozenset[str]], known: Mapping[str, InstanceRecovery]
) -> tuple[Mapping[str, frozenset[str]], tuple[str, ...]]:
    """Edges are added in a fixed order; the one that would close a circle is left out and told."""
    needs: dict[str, set[str]] = {}
    cycles = []
    for key in sorted(wanted, key=lambda k: (known[k].name, k)):
        for needed in sorted(wanted[key], key=lambda k: (known[k].name, k)):
            if _reaches(needs, needed, key):
                cycles.append(f"{known[key].name} starts after {known[needed].name}, which starts after it")
            else:
                needs.setdefault(key, set()).add(needed)
    return {key: frozenset(found) for key, found in needs.items()}, tuple(cycles)


def _reaches(needs: Mapping[str, set[str]], start: str, goal: str) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        key = waiting.pop()
        if key == goal:
            return True
        if key not in seen:
            seen.add(key)
            waiting.extend(needs.get(key, ()))
    return False


def _depths(known: Mapping[str, InstanceRecovery], needs: Mapping[str, frozenset[str]]) -> Mapping[str, int]:
    """The longest chain of those that start after each other once this one is there."""
    depth = dict.fromkeys(known, 0)
    for _ in known:  # a chain is at most as long as there are instances; it ends as soon as nothing changes
        changed = False
        for key, needed in needs.items():
            for other in needed:
                if depth[other] < depth[key] + 1:
                    depth[other], changed = depth[key] + 1, True
        if not changed:
            break
    return depth
