"""Which of a host's power devices are tried next, which are read, and what do they all say together?

A level is a set of devices that act together: it is off when each of them reads exactly off. Levels are tried in their
order, a pass after a pass. A device that reads on is a sign that the host lives, at whatever level it stands; only an
outlet is not, because it goes on feeding a machine that its BMC has switched off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hanode.core.decisions import Trace
from hanode.core.facts import Power
from hanode.core.model import Result
from hanode.core.policy import FencePlan
from hanode.core.records import HostRecovery, ProofKind

UNTRIED_S = 10.0
"""So often a device is read that nothing was asked of yet: only to hear whether it contradicts the others."""


def power_key(host: str, level: int) -> str:
    """The key of a reading of one level; the level stands first, so that any host name may follow."""
    return f"{level}@{host}"


def host_and_level(key: str) -> tuple[str, int]:
    level, _, host = key.partition("@")
    return host, int(level)


def level_of_try(plan: FencePlan, record: HostRecovery) -> int:
    """The level of the newest power-off of this round."""
    return plan.order[(len(record.offs) - 1) % len(plan.order)]


def is_exhausted(plan: FencePlan, record: HostRecovery, passes: int) -> bool:
    return len(record.offs) >= passes * len(plan.order)


def another_is_next(plan: FencePlan, record: HostRecovery) -> bool:
    """Another level comes next within this pass: nothing is gained by waiting for the one that has just failed."""
    position = len(record.offs) % len(plan.order)
    return position > 0 and plan.order[position] != plan.order[position - 1]


def said_by_all(said: Sequence[Power | None]) -> Power | None:
    """One level's reading, of its devices' (None: could not be read): on if any is on, off only if each is exactly off."""
    if Power.ON in said:
        return Power.ON
    if not said or None in said:
        return None
    return Power.OFF if set(said) == {Power.OFF} else Power.OTHER


def watched(plan: FencePlan, record: HostRecovery | None, every_s: float) -> Mapping[int, float]:
    """level -> how often it is read. Outlets are read only once they were tried: before that they can say nothing of the host."""
    tried = {1} if plan.levels else set()
    if record is not None:
        tried |= set(plan.order if record.offs_before else plan.order[: len(record.offs)])
        tried |= {proven_by(plan, record)} - {0}
    return {
        number: every_s if number in tried else max(every_s, UNTRIED_S)
        for number, level in enumerate(plan.levels, 1)
        if number in tried or not level.outlets
    }


def proven_by(plan: FencePlan, record: HostRecovery | None) -> int:
    """The level whose devices proved the host off; 0 while there is no such proof, or no such level any more."""
    proof = record.proof if record is not None else None
    return proof.level if proof and proof.kind is ProofKind.DEVICE and proof.level <= len(plan.levels) else 0


def believed(plan: FencePlan, record: HostRecovery | None, level: int, trace: Trace) -> Trace:
    """What a level says, as far as it is worth anything: an off that is only a copy counts when an off of ours was done there.

    Whoever gives copies calls an order done only after the machine itself was looked at, twice (`adapters.fencing.ironic`).
    """
    if not plan.levels[level - 1].copies or trace.value != Power.OFF or proven_by(plan, record) == level:
        return trace
    offs = record.offs if record is not None else ()
    done = any(off == Result.DONE and plan.order[number % len(plan.order)] == level for number, off in enumerate(offs))
    return trace if done else replace(trace, value=Power.OTHER.value)


def signs_of_life(plan: FencePlan, traces: Mapping[int, Trace], proven: int) -> tuple[Trace, ...]:
    """Who reads on and thereby speaks against death; an outlet does when its own off was the proof."""
    return tuple(
        trace
        for number, trace in sorted(traces.items())
        if trace.value == Power.ON and (number == proven or not plan.levels[number - 1].outlets)
    )


def together(plan: FencePlan, traces: Mapping[int, Trace], proven: int, oldest_s: float) -> Trace | None:
    """What the levels say as one, with the level that says so.

    On beats off, so that no level proves dead what another sees alive. Off is only believed of the level that proved it
    (`proven`), or of any while there is no proof. Readings begun before `oldest_s` count only when there is nothing better.
    """
    fresh = {number: trace for number, trace in traces.items() if trace.last_s >= oldest_s}
    alive = signs_of_life(plan, fresh, proven)
    if alive:
        return max(alive, key=lambda trace: trace.last_s)
    off = {number: trace for number, trace in fresh.items() if trace.value == Power.OFF and proven in (0, number)}
    if off:
        number = min(off, key=lambda number: (off[number].since_s, number))
        return replace(off[number], level=number)
    fed = [trace for trace in fresh.values() if trace.value == Power.ON]
    return next(iter(fed), None) or traces.get(proven) or traces.get(1)
