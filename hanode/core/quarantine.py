"""Is a host's power device the host's own, and does it tell the truth? What is not is not believed before an operator adopts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanode.core.decisions import Level, Trace
from hanode.core.draft import Draft
from hanode.core.facts import Power
from hanode.core.judge import Evidence
from hanode.core.lifecycle import HostState
from hanode.core.model import Command, WantKind
from hanode.core.records import HostRecovery

FIRST_CONTACT = "first-contact"
MET_EVERY_S = 60.0
"""What was learned at first contacts is written down so often, for all of them together."""


def doubt_devices(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    _liars(draft, evidence)
    _strangers(draft)


def _liars(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    """Off read beside a living heartbeat: the device is another host's, or lies."""
    for name in sorted(draft.powered & evidence.keys()):
        off = [trace for trace in draft.power_traces(name).values() if trace.value == Power.OFF and trace.count >= 2]
        if name not in draft.roster.quarantined and any(_reported_while_off(draft, name, trace) for trace in off):
            _quarantine(draft, name, f"it read off while the host's service went on reporting ({draft.now.at})", "is wrong or lies")


def _reported_while_off(draft: Draft, host: str, trace: Trace) -> bool:
    """Two heartbeats after the first reading of off and before the last: one that came after it may be of a host that came back."""
    beat, first_s = draft.beat(host), trace.since_s + draft.policy.report_interval_s
    return beat is not None and sum(1 for seen_s in beat.recent if first_s < seen_s < trace.last_s) >= 2


def _strangers(draft: Draft) -> None:
    """At first contact a device's identity is remembered; one that tells another later belongs to another machine."""
    new = sorted(host for kind, host in draft.snapshot.readings if kind is WantKind.CHECK and host in draft.timers.checks)
    for host in new:
        told, known = _told(draft, host), draft.roster.identities.get(host, {})
        changed = [f"{known[d]} was met first, {told[d]} is told now" for d in sorted(told) if known.get(d, told[d]) != told[d]]
        if changed and host not in draft.roster.quarantined:
            _quarantine(draft, host, f"its identity has changed ({'; '.join(changed)})", "is another")
    unmet = any(_told(draft, host).items() - draft.roster.identities.get(host, {}).items() for host in new)
    if (unmet or draft.peek(FIRST_CONTACT) is not None) and draft.waited(FIRST_CONTACT, MET_EVERY_S):
        draft.roster = replace(draft.roster, identities=_met(draft))
        draft.end_wait(FIRST_CONTACT)


def _told(draft: Draft, host: str) -> dict[str, str]:
    return {d.device: d.identity for d in draft.timers.checks[host].devices if d.identity and not d.configured}


def _met(draft: Draft) -> Mapping[str, Mapping[str, str]]:
    """What was known, and what every check has told since; of a host only the devices that it still has."""
    met = dict(draft.roster.identities)
    for host in draft.timers.checks.keys() - draft.roster.quarantined.keys():
        described = {device.device for device in draft.timers.checks[host].devices}
        found = {**_told(draft, host), **met.get(host, {})}
        if found:
            met[host] = {device: identity for device, identity in sorted(found.items()) if device in described}
    return dict(sorted(met.items()))


def _quarantine(draft: Draft, host: str, why: str, what: str) -> None:
    """It is never believed again by itself."""
    draft.roster = replace(draft.roster, quarantined=dict(sorted({**draft.roster.quarantined, host: why}.items())))
    text = f"its power device {what}: {why}; believed again after `hanode fence adopt {host}`"
    draft.note(Level.ALARM, "quarantine", host, text)


def adopt(draft: Draft, command: Command, record: HostRecovery | None, _: Evidence) -> tuple[bool, str]:
    host, roster = command.host, draft.roster
    if record is not None and record.state is not HostState.SUSPECT:
        # What it says from now on would count as the proof of a death that is being decided.
        return False, f"it is {record.state}: see by other means whether it is off, and adopt its device when that is over"
    if host not in roster.quarantined and host not in roster.identities:
        return False, "its power device is believed, and no identity of it was ever met: there is nothing to adopt"
    left = {name: why for name, why in roster.quarantined.items() if name != host}
    known = {name: identities for name, identities in roster.identities.items() if name != host}
    draft.roster = replace(roster, quarantined=left, identities=known)
    # What was told before the operator's word is no first contact after it.
    draft.timers = replace(draft.timers, checks={name: check for name, check in draft.timers.checks.items() if name != host})
    return True, "its power device is believed again; the identity that it tells at its next check is the one that counts from then on"
