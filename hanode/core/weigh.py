"""What did each signal of a host count for? The rules of `judge`, told signal by signal for people; nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hanode.core.decisions import Sign, Trace
from hanode.core.facts import Power
from hanode.core.judge import Evidence, recent_s
from hanode.core.levels import believed, power_key
from hanode.core.signals import KDUMP

LIFE = "life: it is not shot"
SILENCE = "silence"
TOO_OLD = "nothing: too old"
COULD_NOT_LOOK = "nothing: could not look"


def weigh(e: Evidence, power: Mapping[str, Trace]) -> tuple[Sign, ...]:
    """Every signal of the host, `power` being all readings of power devices (`levels.power_key`)."""
    return (*_heartbeat(e), *_power(e, power), *_probes(e), *_witnesses(e), *_crash(e))


def _heartbeat(e: Evidence) -> Iterator[Sign]:
    said = "moves" if e.beats else "stands still"
    yield Sign("heartbeat", "", said, e.now_s - e.beat.seen_s, len(e.beat.recent), LIFE if e.beats else SILENCE)
    state, looked_s = e.host.service.state, e.now_s - e.looked_s
    counts = {"up": "nothing: it only says that it reported lately", "down": SILENCE}.get(state or "", COULD_NOT_LOOK)
    yield Sign("nova state", "", state or "unknown", looked_s, 1, counts)


def _power(e: Evidence, power: Mapping[str, Trace]) -> Iterator[Sign]:
    plan = e.policy.plan_of(e.host.name)
    levels = plan.levels
    for number, level in enumerate(levels, 1):
        trace = power.get(power_key(e.host.name, number))
        name = "power" if len(levels) == 1 else f"power level {number}"
        if trace is None:
            yield Sign(name, "", "not read", None, 0, "nothing yet")
        elif e.host.name in e.roster.quarantined:
            yield _sign(name, "", trace, e, "nothing: the device is quarantined")
        elif believed(plan, e.record, number, trace) != trace:
            yield _sign(name, "", trace, e, "nothing: a copy, which may be old, until a power-off of ours is done there")
        else:
            yield _sign(name, "", trace, e, _of_power(trace, e, level.outlets))


def _of_power(trace: Trace, e: Evidence, outlets: bool) -> str:
    if trace.value == Power.OFF:
        if trace.twice(e.policy.reading_gap_s):
            return "proof of death"
        return "nothing yet: one reading of off is no proof"
    if trace.value == Power.ON:
        return "nothing: an outlet only feeds it" if outlets else "doubt: it has power, which speaks against a proof of death"
    return COULD_NOT_LOOK if trace.value == "unknown" else "nothing: only off is off"


def _probes(e: Evidence) -> Iterator[Sign]:
    for network in e.policy.networks:
        trace = e.probes.get(network)
        if trace is None:
            yield Sign(f"probe {network}", "", "not asked", None, 0, "nothing yet: it is not fenced on silence before")
        elif trace.value == "answers":
            yield _sign(f"probe {network}", "", trace, e, LIFE)
        elif trace.value == "silent":
            yield _sign(f"probe {network}", "", trace, e, SILENCE if trace.count >= 2 else "nothing yet: a packet may have been lost")
        else:
            yield _sign(f"probe {network}", "", trace, e, f"{COULD_NOT_LOOK}, and it is not fenced on silence until then")


def _witnesses(e: Evidence) -> Iterator[Sign]:
    for (witness, network), trace in sorted(e.witnessed.items()):
        counts = {"answers": LIFE, "silent": "nothing: a witness's silence is no proof"}.get(trace.value, COULD_NOT_LOOK)
        yield _sign(f"probe {network}", witness, trace, e, counts)


def _crash(e: Evidence) -> Iterator[Sign]:
    said = {"answers": "crashes", "silent": "nothing"}
    for listener, trace in sorted(e.crash.items()):
        counts = {"answers": "patience: the first power-off waits for the dump, no longer than kdump_wait_s", "silent": "nothing"}
        sign = _sign(KDUMP, listener, trace, e, counts.get(trace.value, COULD_NOT_LOOK))
        yield replace(sign, said=said.get(trace.value, trace.value))


def _sign(name: str, seen_by: str, trace: Trace, e: Evidence, counts_for: str) -> Sign:
    age_s = e.now_s - trace.last_s
    return Sign(name, seen_by, trace.value, age_s, trace.count, counts_for if age_s <= recent_s(e.policy) else TOO_OLD)
