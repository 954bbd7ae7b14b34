"""Would the power devices of a host that is well do as they are told, if it failed tonight?

Each host's devices are read now and then without need: can they be reached, do they let us in, are they still those that we met
first? Never while anything is wrong with any host: whoever is recovering needs devices and readers for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from heapq import nsmallest
from zlib import crc32

from hanode.core.decisions import HostCheck, Level, Readiness, Verdict
from hanode.core.draft import Draft
from hanode.core.facts import DeviceCheck, Power
from hanode.core.judge import Evidence
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Command, WantKind
from hanode.core.pause import LONGEST_S
from hanode.core.policy import Policy
from hanode.core.records import HostRecovery, Mute

AT_MOST = 16
"""So many hosts are checked until the next poll of Nova, a few at a time; what they say is looked at together then."""

FIRST_ROUND_S = 600.0
"""A new leader has checked everybody after about so long, where their number allows it."""

SOONEST = 0.75
"""At least this part of the time between two checks passes, and at most as much more than all of it as this falls short."""

RECHECK_S = 300.0
"""What failed is tried again so often: it may be back."""

REFUSED_S = 6 * 3600.0
"""Refused logins are tried again so rarely: each one more may lock an account."""

ALARM_AFTER_S = 1800.0
"""A management network is serviced now and then; a host whose fencing would fail for so long is news."""

MANY = 5
"""So many hosts lost at once have one cause: one alarm."""

LOST, WELL = "lost", "well"

LEFT_WRITTEN_S = 600.0
"""How much of a mute is left is written down so often."""


# --------------------------------------------------------------------------- whom to check next


def check_due_s(host: str, check: HostCheck | None, policy: Policy, office_since_s: float) -> float:
    """When the host's devices are to be checked next, on the leader's clock; spread by the host's own name."""
    jitter = _jitter(host)
    every_s = policy.check_every_s
    if check is None:
        return office_since_s + policy.office_hold_s + jitter * min(every_s, FIRST_ROUND_S)
    if check.is_well:
        return check.at_s + every_s * (SOONEST + jitter / 2)
    pause_s = every_s
    if any(device.login_refused for device in check.devices):
        pause_s = max(REFUSED_S, every_s)
    elif not check.told or any(device.fault for device in check.devices):
        pause_s = min(RECHECK_S, every_s)
    return check.at_s + pause_s * (SOONEST + jitter / 2)


@lru_cache(maxsize=65536)
def _jitter(host: str) -> float:
    """From 0 to 1, the same for ever."""
    return crc32(host.encode()) / 2**32


def _ask(draft: Draft, hosts: Iterable[str]) -> None:
    if not draft.policy.check_every_s or _is_busy(draft):
        return
    policy, checks, office_since_s = draft.policy, draft.timers.checks, draft.timers.office_since_s
    lately_s = draft.now.s - SOONEST * policy.check_every_s
    # Of ten thousand hosts most were checked lately, and well: when exactly their turn comes need not be known.
    perhaps = [(host, found) for host in hosts if (found := checks.get(host)) is None or found.at_s <= lately_s or not found.is_well]
    due = nsmallest(AT_MOST, ((check_due_s(host, found, policy, office_since_s), host) for host, found in perhaps))
    for due_s, host in due:
        if due_s <= draft.now.s:
            draft.want(WantKind.CHECK, host, policy.check_every_s)


def _is_busy(draft: Draft) -> bool:
    """Is any host suspect or in recovery, or does the brake see something that makes devices fail as well?"""
    if any(hold.fences for hold in draft.holds) or any(map(_needs_devices, draft.records.values())):
        return True
    looked_at = {Verdict.SUSPECT, Verdict.FAILED}
    return any(judgement.verdict in looked_at and host not in draft.records for host, judgement in draft.verdicts.items())


def _needs_devices(record: HostRecovery) -> bool:
    if record.state in {HostState.SUSPECT, HostState.FENCING, HostState.FENCED}:
        return True
    return record.is_open or any(entry.state is InstanceState.PENDING for entry in record.instances.values())


# --------------------------------------------------------------------------- what they said


def fault_of(device: DeviceCheck, known: Mapping[str, str]) -> str:
    """Why this device would prove nothing now; `known`: device -> identity at first contact, which each use requires."""
    hidden = device.device in known and not device.identity and not device.configured
    return device.fault or (f"it does not tell its identity any more ({known[device.device]})" if hidden else "")


def shortcoming(check: HostCheck, known: Mapping[str, str]) -> str:
    """Why no level of the host's devices would prove it off now; "" when one would, or when nothing was told yet."""
    levels = {device.level: "" for device in check.devices}
    for device in reversed(check.devices):
        levels[device.level] = fault_of(device, known) or levels[device.level]
    if not all(levels.values()):
        return ""
    return "; ".join(f"level {level}: {fault}" if len(levels) > 1 else fault for level, fault in sorted(levels.items()))


def weaknesses(check: HostCheck, known: Mapping[str, str]) -> str:
    """What is wrong although the host could be fenced: levels that would fail, and what devices are warned of."""
    faults = [(device.level, fault_of(device, known)) for device in check.devices]
    warnings = [device.warning for device in check.devices if device.warning]
    return "; ".join([*(f"level {level} would fail ({fault})" for level, fault in faults if fault), *warnings])


def read_off(draft: Draft, host: str) -> bool:
    """Did a check find it off, and has nothing contradicted that since? Outlets say nothing of a host."""
    check = draft.timers.checks.get(host)
    if check is None or not check.says_off:
        return False
    levels = draft.policy.plan_of(host).levels
    off = any(0 < level <= len(levels) and not levels[level - 1].outlets for level in check.says_off)
    return off and not any(trace.value == Power.ON and trace.last_s > check.at_s for trace in draft.power_traces(host).values())


def watch_devices(draft: Draft) -> None:
    """Tell whose fencing would fail, and check on."""
    verdicts, plan_of = draft.verdicts, draft.policy.plan_of
    watched = [host for host, found in verdicts.items() if found.verdict is not Verdict.EXEMPT and host not in draft.records]
    watched = [host for host in watched if plan_of(host).levels]
    _run_mutes(draft)
    checks = draft.timers.checks
    flawed = {host: checks[host] for host in watched if host in checks and not checks[host].is_flawless}
    lost = {host: why for host, check in flawed.items() if (why := shortcoming(check, _known(draft, host)))}
    for host, check in flawed.items():
        _tell(draft, host, check, lost.get(host, ""))
    for host in _said_lost(draft, watched) - lost.keys():
        if host in checks:
            draft.note_change(Level.INFO, "unprotected", host, WELL, "its power devices are as they should be again")
        else:
            draft.said_of("unprotected", host)  # they are looked at anew, and what was so is so until they say otherwise
    _alarm(draft, {host: why for host, why in lost.items() if host not in {*draft.roster.muted, *draft.roster.quarantined}})
    unchecked = sum(host not in checks for host in watched) if draft.policy.check_every_s else 0
    draft.readiness = Readiness(lost, unchecked)
    _ask(draft, watched)


def _known(draft: Draft, host: str) -> Mapping[str, str]:
    return draft.roster.identities.get(host, {})


def _said_lost(draft: Draft, watched: Iterable[str]) -> set[str]:
    """Of whom it was last said that they would not be fenced."""
    said = {subject.split("/")[1] for subject, fact in draft.timers.said.items() if fact == LOST and subject.startswith("unprotected/")}
    return said.intersection(watched)


def _tell(draft: Draft, host: str, check: HostCheck, why: str) -> None:
    if why:
        draft.note_change(Level.WARNING, "unprotected", host, LOST, f"would not be fenced if it failed now: {why}")
    elif weak := weaknesses(check, _known(draft, host)):
        draft.note_once(Level.WARNING, "fence-weak", host, f"could be fenced, but {weak}")


def _alarm(draft: Draft, lost: Mapping[str, str]) -> None:
    """Once for each host; what is lost together is told together."""
    known = {host for host in lost if draft.peek(f"unprotected-told/{host}") is not None}
    due = [host for host in lost if draft.waited(f"unprotected/{host}", ALARM_AFTER_S)]
    news = sorted(set(lost) - known) if set(due) - known else []
    for host in {*known, *news}:
        draft.since(f"unprotected-told/{host}")
    if len(news) >= MANY:
        named = ", ".join(news[:MANY]) + (f" and {len(news) - MANY} more" if len(news) > MANY else "")
        text = f"{len(news)} hosts would not be fenced if they failed now ({named}); of the first: {lost[news[0]]}"
        draft.note(Level.ALARM, "unprotected", "", text)
        return
    for host in news:
        text = f"would not be fenced if it failed now: {lost[host]}; try again with `hanode fence check {host}`, or `hanode fence mute` it"
        draft.note(Level.ALARM, "unprotected", host, text)


# --------------------------------------------------------------------------- who does not want to hear it


def mute(draft: Draft, command: Command, _: HostRecovery | None, __: Evidence) -> tuple[bool, str]:
    if not 0 < command.for_s <= LONGEST_S:
        return False, f"silence must end by itself: say for how long, at most {LONGEST_S / 86400:.0f} days"
    host, at = command.host, draft.now.at.partition(".")[0]
    words = f"muted by {command.who} at {at} for {command.for_s / 60:.0f} min: {command.why}"
    draft.roster = replace(draft.roster, muted=dict(sorted({**draft.roster.muted, host: Mute(words, command.for_s)}.items())))
    draft.restart_wait(f"mute/{host}")
    return True, "nobody is alarmed meanwhile because its fencing would fail; whether it is fenced when it fails does not change"


def _run_mutes(draft: Draft) -> None:
    """Let them run on our own clock; what is left is written down now and then, so a change of leader only prolongs."""
    muted = dict(draft.roster.muted)
    for host, told in sorted(draft.roster.muted.items()):
        passed_s = draft.now.s - draft.since(f"mute/{host}")
        if passed_s >= told.left_s:
            del muted[host]
            draft.end_wait(f"mute/{host}")
            draft.note(Level.INFO, "mute", host, f"is not muted any more ({told.words})")
            continue
        if passed_s >= LEFT_WRITTEN_S:
            muted[host] = replace(told, left_s=told.left_s - passed_s)
            draft.restart_wait(f"mute/{host}")
        draft.wake(draft.now.s + told.left_s - passed_s)
    if muted != draft.roster.muted:
        draft.roster = replace(draft.roster, muted=muted)
