"""What of a leader's published status is shown as numbers?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from hanode import metrics
from hanode.core.decisions import Verdict
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.preview import Lasted
from hanode.engine.age import time_of
from hanode.engine.forecast import predicted_s
from hanode.engine.reasons import OTHER, SKIPPED, WAITING

NOTHING_YET = Lasted()


def measure(leads: bool, status: Mapping[str, Any], lasted: Lasted = NOTHING_YET) -> None:
    """Of every daemon; a standby has no numbers of the cloud. `lasted`: how long recoveries took before."""
    led = leads and bool(status)
    metrics.in_office(status["leader"]["term"] if led else None)
    metrics.cloud_is(numbers(status, lasted) if led else {})


class Meter:
    """Shows them anew when something is: most ticks decide nothing, and counting ten thousand hosts takes ten milliseconds."""

    def __init__(self) -> None:
        self._shown: tuple[object, ...] = ()
        self._looked_at: Mapping[str, Any] = {}
        self._is_busy = False

    def is_busy(self, status: Mapping[str, Any]) -> bool:
        """Is any host suspect or in recovery?"""
        if status is not self._looked_at:
            self._looked_at = status
            self._is_busy = any(host["state"] != HostState.WATCHED for host in status.get("hosts", {}).values())
        return self._is_busy

    def show(self, leads: bool, status: Mapping[str, Any], lasted: Lasted) -> bool:
        """Was anything new?"""
        now = (leads, status, lasted)
        if self._shown and all(was is each for was, each in zip(self._shown, now, strict=True)):
            return False
        self._shown = now
        measure(leads, status, lasted)
        return True


def numbers(status: Mapping[str, Any], lasted: Lasted = NOTHING_YET) -> Mapping[str, metrics.Values]:
    hosts = list(status.get("hosts", {}).values())
    protected = [host for host in hosts if host["verdict"] != Verdict.EXEMPT]
    down = status.get("down", {})
    elapsed_s, predicted = _slowest(status, lasted)
    return {
        "hanode_hosts": _counted(Verdict, (host["verdict"] for host in hosts)),
        "hanode_hosts_protected": {"": len(protected)},
        "hanode_hosts_unprotected": {"": len(hosts) - len(protected)},
        "hanode_hosts_without_device": {"": sum(not host["fenceable"] for host in protected)},
        "hanode_hosts_unfenceable": {"": len(set(status.get("unprotected", {})) - set(status.get("muted", {})))},
        "hanode_hosts_unchecked": {"": status.get("unchecked", 0)},
        "hanode_devices_quarantined": {"": len(status.get("quarantined", {}))},
        "hanode_hosts_cut_off": {"": len(status.get("cuts", {}))},
        "hanode_cuts_overdue": {"": len(status.get("cuts_overdue", ()))},
        "hanode_capacity_unmet": {"": sum(not one["holds"] for one in status.get("capacity", ()))},
        "hanode_holds": {hold["name"]: 1 for hold in status.get("holds", [])},
        "hanode_incidents": _counted((state for state in HostState if state is not HostState.WATCHED), (host["state"] for host in hosts)),
        "hanode_instances": _counted(InstanceState, status.get("instances", {})),
        "hanode_instances_down": {"": down.get("instances", 0)},
        "hanode_instances_down_oldest_seconds": {"": _age_s(down.get("since", ""), status.get("updated_at", ""))},
        "hanode_recovery_elapsed_seconds": {"": elapsed_s},
        "hanode_recovery_predicted_seconds": {"": predicted},
        "hanode_instances_waiting": _counted(sorted({*WAITING.values(), OTHER}), status.get("waiting", {})),
        "hanode_instances_skipped": _counted(sorted({*SKIPPED.values(), OTHER}), status.get("skipped", {})),
    }


def _slowest(status: Mapping[str, Any], lasted: Lasted) -> tuple[float, float]:
    """Of the open recovery that is furthest behind its prediction: how long it has gone on, and how long it was to take; 0: not known."""
    now = status.get("updated_at", "")
    found = [(_age_s(one["since"], now), predicted_s(one["rounds"], lasted) or 0.0) for one in status.get("recovering", ())]
    return max(found, key=lambda pair: (pair[0] / pair[1] if pair[1] else 0.0, pair[0]), default=(0.0, 0.0))


def _counted(known: Iterable[str], values: Iterable[str] | Mapping[str, int]) -> metrics.Values:
    tally = Counter(values)
    return {str(word): tally[str(word)] for word in known}


def _age_s(since: str, now: str) -> float:
    """Stamps of different controllers: a figure for people, by which nothing is decided."""
    try:
        return max(0.0, (time_of(now) - time_of(since)).total_seconds())
    except ValueError:
        return 0.0
