"""Why is this host or instance treated as it is, and why was it then? From the journal alone, with the option that decided.

Nothing is guessed: each line is a record's own reason with its time, as some leader wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hanode.core.decisions import Closed, Verdict
from hanode.core.lifecycle import HOST_SENTENCES, INSTANCE_SENTENCES
from hanode.core.records import HostRecovery, InstanceRecovery, Roster
from hanode.engine.report import MODES, Report, drill_sentence, failback_sentence, progress, spare_sentence, work_sentence

NOW = "now"
QUIET = frozenset({str(Verdict.HEALTHY), str(Verdict.EXEMPT)})

DECIDED_BY: Sequence[tuple[str, str]] = (
    (r"not in hypervisor_kinds", "[protection] hypervisor_kinds"),
    (r"hanode itself runs on it", "[protection] own_hosts"),
    (r"in no protected aggregate", "[protection] aggregates"),
    (r"recovery policy is none", "[protection] recovery, [protection] recovery_by_aggregate"),
    (r"disabled by somebody else", "[protection] protect_disabled"),
    (r"fence_living_hosts is set", "[protection] fence_living"),
    (r"skip_projects", "[protection] skip_projects"),
    (r"tagged as an amphora|may be an amphora's", "[protection] skip_image_tags"),
    (r"hanode host release \S+`$", "[protection] release"),
    (r"must report for", "[protection] healthy_s"),
    (r"watched for a while", "[evacuation] home_watch_s"),
    (r"which is active and", "[priority] ready, [priority] ready_wait_s"),
    (r"starts after", "[priority] after_key, [priority] after_wait_s"),
    (r"of a higher priority come first", "[priority] tier_wait_s"),
    (r"no independent probe|probe not asked", "[probe] kind"),
    (r"not yet certain|no sign of life", "[detection] fence_after_s"),
    (r"reads off twice|exactly off twice", "[fencing] reading_gap_s"),
    (r"TOO_MANY|COLD_START", "[brake] hosts, [brake] percent"),
    (r"FAILURE_DOMAIN", "[brake] failure_domain_keys"),
    (r"\bOFFICE\b", "[office] hold_s"),
    (r"no leader has ever seen it up|brake release", "[brake] named_s"),
    (r"max_fencing allows", "[fencing] max_at_once"),
    (r"waits for your approval|incident approve", "[DEFAULT] mode, [protection] mode_by_aggregate"),
    (r"mode observe|observed only|only OBSERVES", "[DEFAULT] mode, [protection] mode_by_aggregate"),
    (r"no power device is configured|switched off by hand", "[fencing] config_file"),
    (r"accepts the power-off and does not read off", "[fencing] timeout_s, [fencing] attempts"),
    (r"failback", "[maintenance] failback, [maintenance] failback_after_s"),
    (r"kept in reserve", "[spares] key, [spares] reason"),
    (r"new in storage domain", "[storage] join_s"),
    (r"storage domain", "[storage] domains, [storage] key"),
    (r"may be what kills them", "[priority] repeat_window_s, [priority] repeat_limit"),
    (r"goes alone", "[priority] repeat_alone_s"),
    (r"second tries wait", "[evacuation] retry_s"),
    (r"every fitting host is taking", "[evacuation] max_per_target"),
    (r"as many evacuations are under way", "[evacuation] max_at_once, [evacuation] max_per_domain"),
    (r"drained for maintenance|is worked on by", "[maintenance] max_at_once, [maintenance] max_per_host, [maintenance] cold_migration"),
    (r"attempts are spent", "[evacuation] attempts"),
    (r"Nova works on it since", "[evacuation] hard_deadline_s"),
    (r"cannot be put back", "[evacuation] restore_deadline_s"),
)
"""How a reason reads -> the options by which it was decided; the first that fits. A reason without one is a fact or a person's word."""


@dataclass(frozen=True)
class Line:
    """One thing that is, or was, so."""

    at: str  # NOW, or when some leader wrote it
    about: str  # the host, or the instance by its name
    what: str
    incident: str = ""

    @property
    def option(self) -> str:
        return next((option for fragment, option in DECIDED_BY if re.search(fragment, self.what)), "")


def explain(name: str, report: Report, history: Iterable[Closed]) -> tuple[Line, ...]:
    """Everything that the journal knows of a host, or of an instance by its id or name; empty: it knows nothing of it."""
    ended = tuple(history)
    records = [*(closed.record for closed in ended), *report.records.hosts.values()]
    if name in report.hosts or any(record.host == name for record in records):
        return (*_host_then(name, report, ended), *_host_now(name, report))
    return tuple(_instance(name, report, ended))


def _host_now(host: str, report: Report) -> Iterator[Line]:
    known, roster = report.hosts.get(host, {}), report.records.roster
    exempt = str(report.status.get("exempt", {}).get(host, ""))
    verdict = str(known.get("verdict", Verdict.UNKNOWN))
    reason = exempt or str(known.get("reason", "")) or ("its service reports" if known else "Nova does not show it now")
    yield Line(NOW, host, f"{verdict}: {reason}")
    if known.get("waits_for"):
        yield Line(NOW, host, f"not taken back yet: {known['waits_for']}")
    mode = str(report.status.get("mode", ""))
    if mode in MODES and mode != "act":
        yield Line(NOW, host, MODES[mode])
    yield from _of_roster(host, roster)
    if verdict not in QUIET:
        for hold in report.holds:
            yield Line(NOW, host, f"the brake holds, {hold.get('name')}: {hold.get('reason')}; ends: {hold.get('ends')}")


def _of_roster(host: str, roster: Roster) -> Iterator[Line]:
    if host not in roster.seen:
        yield Line(NOW, host, "no leader has ever seen it up: it is not judged before it was")
    if host in roster.held:
        yield Line(NOW, host, f"fell silent under the hold {roster.held[host]}: `hanode brake release {host}` names it")
    if host in roster.quarantined:
        yield Line(NOW, host, f"its power device is not believed: {roster.quarantined[host]}")
    if host in roster.maintenance:
        yield Line(NOW, host, work_sentence(roster.maintenance[host]))
    if host in roster.drills:
        yield Line(NOW, host, drill_sentence(roster.drills[host]))
    if host in roster.spares:
        yield Line(NOW, host, spare_sentence(roster.spares[host]))
    if host in roster.failbacks:
        yield Line(NOW, host, failback_sentence(roster.failbacks[host]))
    if roster.paused:
        yield Line(NOW, host, roster.paused)


def _host_then(host: str, report: Report, ended: Sequence[Closed]) -> Iterator[Line]:
    for closed in ended:
        if closed.record.host == host:
            yield from _incident(closed.record)
            yield Line(_ended_at(closed.record), host, f"the incident ended: {closed.outcome}", closed.record.incident)
    record = report.records.hosts.get(host)
    if record is not None:
        yield from _incident(record)
        yield Line(NOW, host, f"{record.state}, {HOST_SENTENCES[record.state]}: {record.reason}", record.incident)


def _incident(record: HostRecovery) -> Iterator[Line]:
    """Its story, from the record alone."""
    said = f"fell silent (last heartbeat {record.last_beat_at})" if record.last_beat_at else "an incident was opened"
    yield Line(record.opened_at, record.host, said, record.incident)
    if record.cause:
        yield Line(record.opened_at, record.host, f"was judged failed: {record.cause}", record.incident)
    if record.observe_only:
        yield Line(record.opened_at, record.host, "nothing was done to it: mode observe", record.incident)
    if record.fence_attempt:
        results = ", ".join(off or "under way" for off in record.offs)
        told = f": {results}" if results else ""
        yield Line(record.opened_at, record.host, f"{record.fence_attempt} power-offs were sent{told}", record.incident)
    if record.proof is not None:
        yield Line(record.proof.at, record.host, f"was proven dead ({record.proof.kind}): {record.proof.text}", record.incident)
    if record.instances:
        yield Line(record.fenced_at or record.opened_at, record.host, progress(record), record.incident)


def _ended_at(record: HostRecovery) -> str:
    """The last thing of it that has a time."""
    return max([record.opened_at, record.fenced_at, *(entry.ended_at for entry in record.instances.values())])


def _instance(name: str, report: Report, ended: Sequence[Closed]) -> Iterator[Line]:
    for closed in ended:
        for entry in _named(name, closed.record):
            yield from _fate(entry, closed.record)
    for _, record in sorted(report.records.hosts.items()):
        for entry in _named(name, record):
            yield from _fate(entry, record)
            yield Line(NOW, record.host, f"{record.state}, {HOST_SENTENCES[record.state]}: {record.reason}", record.incident)
            yield from _host_now(record.host, report)


def _named(name: str, record: HostRecovery) -> list[InstanceRecovery]:
    return [entry for key, entry in sorted(record.instances.items()) if name in {key, entry.name}]


def _fate(entry: InstanceRecovery, record: HostRecovery) -> Iterator[Line]:
    was = entry.before
    locked = ", locked by its owner" if was.locked else ""
    yield Line(record.opened_at, entry.name, f"was {was.vm_state} and {was.power_state}{locked} on {record.host} when that fell silent",
               record.incident)
    if entry.is_doubted:
        yield Line(record.opened_at, entry.name, f"ran on {', '.join(entry.failed_hosts)}, which failed one soon after the other: it may be"
                   " what kills them", record.incident)
    if entry.attempt:
        avoided = f"; not again on {', '.join(entry.avoid)}" if entry.avoid else ""
        yield Line(entry.requested_at, entry.name, f"evacuation {entry.attempt} was asked for, to {entry.target or 'no host yet'}{avoided}",
                   record.incident)
    at = entry.ended_at or entry.requested_at or record.opened_at
    yield Line(at, entry.name, f"{entry.state}: {entry.reason or INSTANCE_SENTENCES[entry.state]}", record.incident)
