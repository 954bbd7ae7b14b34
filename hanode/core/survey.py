"""What do all hosts together show? Gathers for the brake who is silent since when, proven dead, cold, or was in trouble lately."""

from __future__ import annotations

from collections.abc import Mapping

from hanode.core.brake import RECOVERING, Scene, has_work, was_found_dead
from hanode.core.decisions import Verdict
from hanode.core.draft import Draft, verdict_of
from hanode.core.facts import Reading, Unknown
from hanode.core.judge import Evidence
from hanode.core.model import WantKind
from hanode.core.records import HostRecovery, Records


def survey(draft: Draft, evidence: Mapping[str, Evidence], in_office_s: float) -> Scene:
    proven = frozenset(name for name, e in evidence.items() if e.reads_off and not e.lives)
    return Scene(
        fleet=draft.fleet,
        why_no_fleet=_why_no_fleet(draft.snapshot.readings.get((WantKind.FLEET, ""))),
        verdicts=draft.verdicts,
        records=Records(draft.records, draft.roster),
        policy=draft.policy,
        in_office_s=in_office_s,
        silent={name: e.beat.seen_s for name, e in evidence.items() if not e.beats and e.host.service.state is not None},
        proven=proven,
        named=frozenset(name for name, e in evidence.items() if e.named),
        unasked=frozenset(name for name, e in evidence.items() if e.unasked),
        cold=frozenset(name for name, e in evidence.items() if _is_cold(e, in_office_s)),
        lately=_lately(draft, proven),
        sick=_sick(draft),
    )


def _why_no_fleet(reading: Reading[object] | None) -> str:
    if reading is None:
        return ""  # not read yet
    return reading.value.reason if isinstance(reading.value, Unknown) else "Nova's services were read too long ago"


def _sick(draft: Draft) -> Mapping[str, str]:
    """Storage domains that are not well for certain -> why; "" for one that this leader has not asked about yet."""
    policy = draft.policy
    oldest_s = draft.now.s - 3 * policy.health_every_s - 2 * policy.health_timeout_s
    found = {}
    for domain in sorted(policy.health_checked):
        draft.want(WantKind.STORAGE, domain, policy.health_every_s)
        reading = draft.snapshot.readings.get((WantKind.STORAGE, domain))
        if reading is None:
            found[domain] = ""
        elif isinstance(reading.value, Unknown):
            found[domain] = f"nobody knows whether it is well ({reading.value.reason})"
        elif reading.started_s < oldest_s:
            found[domain] = "its health command was last answered too long ago"
        elif not reading.value:
            found[domain] = "its health command calls it sick"
    return found


def _is_cold(e: Evidence, in_office_s: float) -> bool:
    """Silent since before this leader took office: known at once of those that Nova calls down, of others when they should have beaten."""
    state = e.host.service.state
    return state is not None and not e.beat.moved and (state == "down" or in_office_s >= e.policy.office_hold_s)


def _lately(draft: Draft, proven: frozenset[str]) -> frozenset[str]:
    """Hosts that were being recovered within storm_window_s, dealt with or not; those that were found dead are no sign of a storm.

    A new leader cannot know since when a recovery has been done with: it counts from its own beginning, which delays only.
    """
    marks = {name.removeprefix("storm/") for name in draft.timers.waits if name.startswith("storm/")}
    found = set()
    for host in sorted({*marks, *draft.records}):
        record = draft.records.get(host)
        if _is_no_sign(record, host in proven, verdict_of(draft, host)):
            continue
        in_recovery = record is not None and record.state in RECOVERING
        if in_recovery and record is not None and has_work(record):
            draft.restart_wait(f"storm/{host}")
        if (in_recovery or host in marks) and draft.now.s - draft.since(f"storm/{host}") <= draft.policy.storm_window_s:
            found.add(host)
        elif not in_recovery:
            draft.end_wait(f"storm/{host}")
    return frozenset(found)


def _is_no_sign(record: HostRecovery | None, proven: bool, verdict: Verdict) -> bool:
    if record is None:
        return verdict is Verdict.EXEMPT  # somebody has taken it out of service since
    return was_found_dead(record) or (proven and not record.fence_attempt)
