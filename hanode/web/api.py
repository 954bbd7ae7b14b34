"""How is what the leader published told to programs? As JSON; /api/status is what `hanode status -f json` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hanode.core.decisions import Closed
from hanode.core.lifecycle import ENDED, HOST_SENTENCES, INSTANCE_SENTENCES, LOST, SAFE
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.engine.report import Report, progress, records_in_order


def hosts(report: Report) -> list[dict[str, Any]]:
    exempt = report.status.get("exempt", {})
    return [{"host": name, **host, "exempt": exempt.get(name, "")} for name, host in sorted(report.hosts.items())]


def incidents(report: Report, ended: Iterable[Closed] = ()) -> list[dict[str, Any]]:
    """The open ones first, then those that ended, the newest first."""
    past = [_incident(closed.record, closed.outcome) for closed in ended]
    return [*(_incident(record) for record in records_in_order(report.records)), *reversed(past)]


def _incident(record: HostRecovery, outcome: str = "") -> dict[str, Any]:
    states = [entry.state for entry in record.instances.values()]
    return {
        "incident": record.incident,
        "host": record.host,
        "state": "ended" if outcome else str(record.state),
        "sentence": outcome or HOST_SENTENCES[record.state],
        "reason": record.reason,
        "cause": record.cause,
        "opened_at": record.opened_at,
        "fenced_at": record.fenced_at,
        "proof": record.proof.text if record.proof else "",
        "observe_only": record.observe_only,
        "progress": progress(record),
        "total": len(states),
        "safe": sum(state in SAFE for state in states),
        "to_do": sum(state not in ENDED for state in states),
        "lost": sum(state in LOST for state in states),
        "by_state": dict(sorted(Counter(map(str, states)).items())),
        "instances": [_instance(entry) for _, entry in sorted(record.instances.items())],
    }


def _instance(entry: InstanceRecovery) -> dict[str, Any]:
    return {
        "id": entry.instance_id,
        "name": entry.name,
        "state": str(entry.state),
        "target": entry.target,
        "reason": entry.reason or INSTANCE_SENTENCES[entry.state],
    }
