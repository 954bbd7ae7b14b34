"""Is everything well, who works on what is not, and what must I type? The leader's published status, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from hanode.core.decisions import Verdict
from hanode.core.lifecycle import (
    DRILL_SENTENCES,
    ENDED,
    FAILBACK_SENTENCES,
    HOST_SENTENCES,
    LOST,
    SAFE,
    SPARE_SENTENCES,
    WORK_SENTENCES,
    FailbackState,
    HostState,
    InstanceState,
)
from hanode.core.records import Drill, Failback, HostRecovery, Maintenance, Records, Spare
from hanode.core.signals import few
from hanode.engine.age import time_of
from hanode.engine.ledger import Ledger, Standing

WELL = frozenset({Verdict.HEALTHY, Verdict.EXEMPT})
MODES: Mapping[str, str] = {
    "observe": "hanode only OBSERVES: failed hosts are reported, nothing is restarted",
    "approve": "hanode is armed and ASKS: each failed host waits for `hanode incident approve`",
    "act": "hanode is ARMED: failed hosts are fenced and their instances restarted",
}
LISTED = 5


class Severity(IntEnum):
    """What `hanode status --check` exits with."""

    OK = 0
    ATTENTION = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True)
class Report:
    cloud: str  # identity of the cloud that this journal is about
    status: Mapping[str, Any]  # as the leader published it; empty: no leader ever did
    records: Records
    standing: Standing
    now: datetime

    @property
    def stale(self) -> bool:
        """Nobody leads: what is shown is old. By this machine's clock; those of controllers agree within seconds."""
        epoch, renewal = self.standing.epoch, self.standing.renewal
        return epoch is None or epoch.resigned or renewal is None or age_s(renewal.at, self.now) > 2 * renewal.ttl_s

    @property
    def severity(self) -> Severity:
        if not self.status or self.stale:
            return Severity.UNKNOWN
        if self.needs_operator or self.lost:
            return Severity.CRITICAL
        overdue = any(work.is_overdue for work in self.maintenance)
        noted = self.unwell or self.records.hosts or self.holds or self.quarantined or self.unprotected or overdue
        return Severity.ATTENTION if noted else Severity.OK

    @property
    def hosts(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.status.get("hosts", {}))

    @property
    def holds(self) -> Sequence[Mapping[str, str]]:
        """Those of the brake. What an operator has said of one host is told with that host."""
        return [hold for hold in self.status.get("holds", []) if hold.get("name") != "MAINTENANCE"]

    @property
    def failbacks(self) -> Sequence[Failback]:
        return [back for _, back in sorted(self.records.roster.failbacks.items())]

    @property
    def maintenance(self) -> Sequence[Maintenance]:
        return [work for _, work in sorted(self.records.roster.maintenance.items())]

    @property
    def drills(self) -> Sequence[Drill]:
        return [drill for _, drill in sorted(self.records.roster.drills.items())]

    @property
    def spares(self) -> Sequence[Spare]:
        """Hosts in reserve that are in use."""
        return [spare for _, spare in sorted(self.records.roster.spares.items())]

    @property
    def needs_operator(self) -> list[str]:
        waiting = {r.host for r in self.records.hosts.values() if r.state is HostState.NEEDS_OPERATOR}
        return sorted(waiting | set(self.status.get("needs_operator", [])))

    @property
    def unwell(self) -> list[str]:
        return sorted(name for name, host in self.hosts.items() if host.get("verdict") not in WELL)

    @property
    def quarantined(self) -> Mapping[str, str]:
        """Hosts whose power device is not believed, and why."""
        return dict(self.status.get("quarantined", {}))

    @property
    def unprotected(self) -> Mapping[str, str]:
        """Hosts that could not be fenced if they failed now, and why; those aside of which nobody wants to hear it."""
        muted = self.status.get("muted", {})
        return {host: why for host, why in self.status.get("unprotected", {}).items() if host not in {*muted, *self.quarantined}}

    @property
    def lost(self) -> list[str]:
        """Instances that hanode cannot help any more."""
        return sorted(f"{i.name} ({i.instance_id})" for r in self.records.hosts.values() for i in r.instances.values()
                      if i.state in LOST)

    def sentences(self) -> list[str]:
        """The first lines answer: armed? anything down? who works on it, until when? what must I type?"""
        if not self.status:
            return ["No leader has ever published its status: hanode does not run yet, or not with this journal and cluster_id."]
        if self.stale:
            return [self._nobody(), f"Last known: {self._down()}", *self._incidents()]
        return [
            self._armed(), self._down(), self._leader(), *self._held(), *self._devices(),
            *map(work_sentence, self.maintenance), *map(drill_sentence, self.drills), *map(spare_sentence, self.spares),
            *map(failback_sentence, self.failbacks),
            *self._capacity(), *self._incidents(), *self._type(),
        ]

    def _until(self) -> str | None:
        """When another may take over, unless the office is renewed before."""
        renewal = self.standing.renewal
        if renewal is None or self.stale:
            return None
        return (time_of(renewal.at) + timedelta(seconds=renewal.ttl_s)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _nobody(self) -> str:
        return (f"NOBODY LEADS, so nothing is protected: {self.standing}. What follows is old, from "
                f"{self.status.get('updated_at', '?')}. You must act: systemctl start hanode, on a controller")

    def _armed(self) -> str:
        mode = str(self.status.get("mode", "?"))
        return f"{MODES.get(mode, 'the mode is not known')} (mode {mode})."

    def _down(self) -> str:
        exempt = len(self.status.get("exempt", {}))
        watched = "1 host known" if len(self.hosts) == 1 else f"{len(self.hosts)} hosts known"
        watched += f", {exempt} of them not protected" if exempt else ""
        if not self.unwell and not self.records.hosts:
            return f"Nothing is down; {watched}."
        named = [f"{name} {self.hosts[name].get('verdict')} ({self.hosts[name].get('reason', '')})" for name in self.unwell]
        return f"Not well: {few(named)}; {watched}." if named else f"All hosts answer; {watched}."

    def _leader(self) -> str:
        epoch, renewal = self.standing.epoch, self.standing.renewal
        assert epoch is not None and renewal is not None, "not stale"
        return (f"Leader: {epoch.node} (term {epoch.term}), office renewed {age_s(renewal.at, self.now):.0f} s ago; "
                f"another daemon takes over when it is silent for {renewal.ttl_s:g} s.")

    def _held(self) -> list[str]:
        return [f"Nobody is fenced now, {h.get('name')}: {h.get('reason')}. Ends: {h.get('ends')}." for h in self.holds]

    def _devices(self) -> list[str]:
        """Who would not be fenced, should it fail now."""
        told = [f"The power device of {host} is not believed: {why}." for host, why in self.quarantined.items()]
        if self.unprotected:
            told.append(f"Unprotected, for fencing would fail: {few([f'{host} ({why})' for host, why in self.unprotected.items()])}.")
        return told + [f"{host}: {words}." for host, words in self.status.get("muted", {}).items()]

    def _capacity(self) -> list[str]:
        return [f"Capacity: {one['text']}." for one in self.status.get("capacity", []) if not one["holds"]]

    def _incidents(self) -> list[str]:
        records = records_in_order(self.records)
        return [f"{r.host}: {r.state}, {HOST_SENTENCES[r.state]}. {progress(r)}{_cut(r)}{self._waits_for(r.host)}" for r in records]

    def _waits_for(self, host: str) -> str:
        why = self.hosts.get(host, {}).get("waits_for", "")
        return f" Not taken back yet: {why}." if why else ""

    def _type(self) -> list[str]:
        typed = [f"hanode host confirm-fenced {host}      (only after you saw that it is off)" for host in self.needs_operator]
        for r in records_in_order(self.records):
            mode = self.status.get("mode")
            if r.state is HostState.FENCING and mode == "approve" and not r.approved:
                typed.append(f"hanode incident approve {r.host}")
            states = {i.state for i in r.instances.values()}
            if InstanceState.STUCK in states:
                typed.append(f"hanode incident show {r.host}      (instances are stuck: look at each in Nova)")
            if InstanceState.FAILED in states:
                typed.append(f"hanode incident retry {r.host}      (instances failed: after the cause is gone)")
            if r.state is HostState.RELEASING and not r.release_asked:
                typed.append(f"hanode host release {r.host}      (when it is repaired)")
        typed += [f"hanode host maintenance {work.host} --end      (or again with --for)" for work in self.maintenance if work.is_overdue]
        held = [name for name in self.unwell if self.hosts[name].get("verdict") == Verdict.HELD]
        typed += [f"hanode brake release {name}      (only if it really failed)" for name in held[:LISTED]]
        typed += [f"hanode fence adopt {host}      (only after you saw that the device is its own)" for host in self.quarantined]
        if self.unprotected:
            typed.append(f"hanode fence check {' '.join(list(self.unprotected)[:LISTED])}      (and mend what it says)")
        return [f"You must act: {line}" for line in typed] or ["You need not type anything."]

    def fields(self) -> dict[str, Any]:
        """The same for programs."""
        epoch, renewal = self.standing.epoch, self.standing.renewal
        return {
            "cloud": self.cloud,
            "severity": self.severity.name,
            "stale": self.stale or not self.status,
            "updated_at": self.status.get("updated_at"),
            "mode": self.status.get("mode"),
            "leader": epoch.node if epoch and not self.stale else None,
            "term": epoch.term if epoch else None,
            "renewed_at": renewal.at if renewal else None,
            "office_until": self._until(),
            "hosts": len(self.hosts),
            "unwell": self.unwell,
            "exempt": sorted(self.status.get("exempt", {})),
            "holds": [str(h.get("name")) for h in self.holds],
            "needs_operator": self.needs_operator,
            "quarantined": sorted(self.quarantined),
            "unprotected": sorted(self.unprotected),
            "incidents": [f"{r.incident} {r.state}" for r in records_in_order(self.records)],
            "maintenance": [work_sentence(work) for work in self.maintenance],
            "drills": [drill_sentence(drill) for drill in self.drills],
            "spares": [spare_sentence(spare) for spare in self.spares],
            "failbacks": [failback_sentence(back) for back in self.failbacks],
            "lost_instances": self.lost,
            "sentences": self.sentences(),
        }


def read_report(cloud: str, ledger: Ledger, now: datetime) -> Report:
    return Report(cloud=cloud, status=ledger.read_status() or {}, records=ledger.load().records, standing=ledger.read_standing(), now=now)


def _cut(record: HostRecovery) -> str:
    return f" It is {record.cut_text}." if record.cut else ""


def progress(record: HostRecovery) -> str:
    """How far the instances of an incident are."""
    states = [i.state for i in record.instances.values()]
    if not states:
        return "No instances to recover."
    safe = sum(s in SAFE for s in states)
    open_ones = sum(s not in ENDED for s in states)
    return f"{safe} of {len(states)} instances run again, {open_ones} to do, {sum(s in LOST for s in states)} need you."


def work_sentence(work: Maintenance) -> str:
    left = "OVERDUE" if work.is_overdue else f"about {work.left_s / 60:.0f} min left"
    now = f"{work.state}, {WORK_SENTENCES[work.state]}{f' ({work.reason})' if work.reason else ''}"
    return f"{work.host} is worked on by {work.who} ({work.why}), {left}: {now}."


def drill_sentence(drill: Drill) -> str:
    reason = f" ({drill.reason})" if drill.reason else ""
    return f"{drill.host} is rehearsed by {drill.who} ({drill.why}): {drill.state}, {DRILL_SENTENCES[drill.state]}{reason}."


def spare_sentence(spare: Spare) -> str:
    of = ", ".join(spare.incidents)
    asked = "; an operator wants it back" if spare.give_back else ""
    return f"{spare.host}, kept in reserve ({spare.reason or 'no reason given'}), is {spare.state} since {spare.since_at} for {of}: " \
           f"{SPARE_SENTENCES[spare.state]}{asked}."


def failback_sentence(back: Failback) -> str:
    left = sum(not guest.end for guest in back.guests.values())
    by = f" by {back.who} ({back.why})" if back.who else ""
    command = f": `hanode host failback {back.host}`" if back.state is FailbackState.OFFERED else ""
    said = FAILBACK_SENTENCES[back.state]
    return f"{back.host}, failback {back.state}{by}: {said}, {left} of {len(back.guests)} instances to go{command}."


def records_in_order(records: Records) -> list[HostRecovery]:
    return [records.hosts[host] for host in sorted(records.hosts)]


def age_s(stamp: str, now: datetime) -> float:
    """How old a stamp is by our clock; an unreadable one is infinitely old."""
    try:
        return max(0.0, (now - time_of(stamp)).total_seconds())
    except ValueError:
        return float("inf")
