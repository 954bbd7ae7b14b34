"""Which numbers does hanode show to Prometheus? Names, and one function for each thing that changes them.

A leaf: it knows nothing of hanode but words. A label value that was shown once stays, at 0, so that an alert rule
never meets a series that vanished.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Iterable
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

LEADER = Gauge("hanode_leader", "1 on the daemon that holds office, else 0", registry=REGISTRY)
TERM = Gauge("hanode_term", "The last term in which this daemon led", registry=REGISTRY)
MODE = Gauge("hanode_mode", "1 for the configured mode", ["mode"], registry=REGISTRY)
TICK_S = Histogram("hanode_tick_seconds", "Duration of a tick; it must stay far below the lease", registry=REGISTRY,
                   buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10))
LAST_TICK = Gauge("hanode_last_tick_timestamp_seconds", "When the last tick ended (Unix time)", registry=REGISTRY)
HOSTS = Gauge("hanode_hosts", "Compute hosts by verdict", ["verdict"], registry=REGISTRY)
HOLDS = Gauge("hanode_holds", "1 while the named hold keeps hanode from fencing", ["hold"], registry=REGISTRY)
INCIDENTS = Gauge("hanode_incidents", "Open incidents by the state of their host", ["state"], registry=REGISTRY)
INSTANCES = Gauge("hanode_instances", "Instances of open incidents by state", ["state"], registry=REGISTRY)
ACTIONS = Counter("hanode_actions", "Writes to the world by kind and result", ["kind", "result"], registry=REGISTRY)
NOTES = Counter("hanode_notes", "Lines of the story by event and level", ["event", "level"], registry=REGISTRY)

MODES = ("observe", "approve", "act")


def in_office(term: int | None) -> None:
    """Called once a tick by every daemon: the term in which it leads, or None."""
    LEADER.set(int(term is not None))
    if term is not None:
        TERM.set(term)


def mode_is(mode: str) -> None:
    for known in MODES:
        MODE.labels(known).set(int(known == mode))


def ticked(duration_s: float) -> None:
    TICK_S.observe(duration_s)
    LAST_TICK.set_to_current_time()


def hosts_judged(verdicts: Iterable[str]) -> None:
    """One verdict for each host; empty when this daemon does not hold office."""
    _show(HOSTS, verdicts)


def held_by(holds: Iterable[str]) -> None:
    _show(HOLDS, set(holds))


def incidents_open(states: Iterable[str]) -> None:
    """One host state for each open incident."""
    _show(INCIDENTS, states)


def instances_in_recovery(states: Iterable[str]) -> None:
    """One instance state for each instance of an open incident."""
    _show(INSTANCES, states)


def acted(kind: str, result: str) -> None:
    ACTIONS.labels(kind, result).inc()


def noted(event: str, level: str) -> None:
    NOTES.labels(event, level).inc()


def serve(address: str, port: int) -> tuple[WSGIServer, threading.Thread] | None:
    """Listen for Prometheus; port 0 is off. Raises OSError when the address cannot be had."""
    return start_http_server(port, address, REGISTRY) if port else None


_shown: dict[str, set[str]] = {}


def _show(gauge: Gauge, values: Iterable[str]) -> None:
    tally = Tally(str(value) for value in values)
    shown = _shown.setdefault(str(gauge), set())
    shown.update(tally)
    for value in shown:
        gauge.labels(value).set(tally[value])
