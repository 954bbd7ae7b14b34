"""Which numbers does hanode show to Prometheus? Names, and one function for each thing that changes them.

A leaf: it knows nothing of hanode but words. What is counted of the cloud is shown by the leader alone, because a standby's
numbers would be old or double; there, a label value that was shown once stays, at 0, until the office ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

QUICK_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)
PHASE_S = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600)

INFO = Gauge("hanode_info", "Always 1; which version runs, and how it is called", ["version", "cluster_id", "host_id"], registry=REGISTRY)
LEADER = Gauge("hanode_leader", "1 on the daemon that holds office, else 0", registry=REGISTRY)
READY = Gauge("hanode_ready", "1 on a leader, and on a standby that could take over", registry=REGISTRY)
TERM = Gauge("hanode_term", "The last term in which this daemon led", registry=REGISTRY)
RENEWED = Gauge("hanode_office_renewed_timestamp_seconds", "When this daemon last renewed its office (Unix time); 0: never",
                registry=REGISTRY)
TARGET_S = Gauge("hanode_target_recovery_seconds", "The recovery time of an instance that is aimed at", registry=REGISTRY)
MODE = Gauge("hanode_mode", "1 for the configured mode", ["mode"], registry=REGISTRY)
TICK_S = Histogram("hanode_tick_seconds", "Duration of a tick; it must stay far below the lease", registry=REGISTRY, buckets=QUICK_S)
LAST_TICK = Gauge("hanode_last_tick_timestamp_seconds", "When the last tick ended (Unix time)", registry=REGISTRY)
JOURNAL_S = Histogram("hanode_journal_seconds", "Duration of a call to the journal, answered or not", ["call"],
                      registry=REGISTRY, buckets=QUICK_S)
JOURNAL_CALLS = Counter("hanode_journal_calls", "Calls to the journal by kind and outcome", ["call", "outcome"], registry=REGISTRY)
API_S = Histogram("hanode_api_seconds", "Duration of a call to the cloud, answered or not", ["service"],
                  registry=REGISTRY, buckets=QUICK_S)
API_CALLS = Counter("hanode_api_calls", "Calls to the cloud by service, verb and outcome", ["service", "verb", "outcome"],
                    registry=REGISTRY)
ACTIONS = Counter("hanode_actions", "Writes to the world by kind and result", ["kind", "result"], registry=REGISTRY)
NOTES = Counter("hanode_notes", "Lines of the story by event and level", ["event", "level"], registry=REGISTRY)
NOTIFICATIONS = Counter("hanode_notifications", "Attempts to notify by channel and outcome", ["channel", "outcome"], registry=REGISTRY)
NOTIFICATIONS_WAITING = Gauge("hanode_notifications_waiting", "Notifications that are not delivered yet", ["channel"], registry=REGISTRY)
PHASE = Histogram("hanode_phase_seconds", "How long each part of a recovery took; downtime is that of one instance, from its host's "
                  "last heartbeat to running again", ["phase"], registry=REGISTRY, buckets=PHASE_S)

MODES = ("observe", "approve", "act")
PHASES = ("detect", "fence", "place", "evacuate", "verify", "downtime")
for _phase in PHASES:
    PHASE.labels(_phase)
# There from the beginning: Prometheus sees no rise in a series that begins with its first failure.
for _channel in ("webhook", "command"):
    NOTIFICATIONS_WAITING.labels(_channel)
    for _outcome in ("delivered", "failed", "refused", "gave-up", "dropped"):
        NOTIFICATIONS.labels(_channel, _outcome)

CLOUD: Mapping[str, tuple[str, str]] = {
    # name -> what it is, its label ("" for none). Only the leader shows these.
    "hanode_hosts": ("Compute hosts by verdict", "verdict"),
    "hanode_hosts_protected": ("Compute hosts that hanode would recover", ""),
    "hanode_hosts_unprotected": ("Compute hosts that are exempt, each for a reason in `hanode status`", ""),
    "hanode_hosts_without_device": ("Protected hosts without a power device: only a person can confirm them dead", ""),
    "hanode_hosts_unfenceable": ("Protected hosts whose power devices failed their last check, muted ones aside", ""),
    "hanode_hosts_unchecked": ("Protected hosts whose power devices this leader has not checked yet", ""),
    "hanode_hosts_cut_off": ("Hosts that their store cuts off from their disks, or may, until they are released", ""),
    "hanode_cuts_overdue": ("Of these, whose cut could not be renewed for so long that the store may forget it", ""),
    "hanode_capacity_unmet": ("Promises of [capacity] that do not hold, when the leader looked last", ""),
    "hanode_devices_quarantined": ("Power devices that are not believed: they lied, or are others than at first contact", ""),
    "hanode_holds": ("1 while the named hold keeps hanode from fencing", "hold"),
    "hanode_incidents": ("Open incidents by the state of their host", "state"),
    "hanode_instances": ("Instances of open incidents by state", "state"),
    "hanode_instances_down": ("Instances that do not run now because their host failed", ""),
    "hanode_instances_down_oldest_seconds": ("For how long the first of them has been down; 0 when none is", ""),
    "hanode_recovery_elapsed_seconds": ("For how long the open recovery goes on that is furthest behind its prediction; 0: none", ""),
    "hanode_recovery_predicted_seconds": ("How long that was to take in all, by the incidents before; 0: not known", ""),
    "hanode_instances_waiting": ("Instances that no host can take now, by what is in the way", "reason"),
    "hanode_findings": ("What the leader's own daily `hanode config check` found, by severity", "severity"),
    "hanode_credential_expires_seconds": ("Seconds until the first credential or certificate of a kind runs out", "what"),
    "hanode_instances_skipped": ("Instances of failed hosts that are deliberately left alone, by why", "reason"),
}

Values = Mapping[str, float]
"""Label value -> number; "" for a metric without a label."""


class _Cloud(Collector):
    """Replaced as a whole, so that one scrape shows one moment."""

    def __init__(self) -> None:
        self._shown: Mapping[str, Values] = {}
        self.findings: Values = {}
        self.ends: Values = {}  # Unix times: what is left of them is told at each scrape

    def show(self, numbers: Mapping[str, Values]) -> None:
        zeros = {name: dict.fromkeys(values, 0.0) for name, values in self._shown.items()} if numbers else {}
        self._shown = {name: {**zeros.get(name, {}), **values} for name, values in numbers.items()}

    def collect(self) -> Iterator[Metric]:
        left = {what: at_s - time.time() for what, at_s in self.ends.items()}
        looked = {"hanode_findings": self.findings, "hanode_credential_expires_seconds": left} if self._shown else {}
        shown = {**self._shown, **{name: values for name, values in looked.items() if values}}
        for name, values in sorted(shown.items()):
            text, label = CLOUD[name]
            family = GaugeMetricFamily(name, text, labels=[label] if label else [])
            for value, number in sorted(values.items()):
                family.add_metric([value] if label else [], number)
            yield family


_CLOUD = _Cloud()
REGISTRY.register(_CLOUD)


def runs(version: str, cluster_id: str, host_id: str) -> None:
    INFO.labels(version, cluster_id, host_id).set(1)


def in_office(term: int | None) -> None:
    """Called once a tick by every daemon: the term in which it leads, or None."""
    LEADER.set(int(term is not None))
    if term is not None:
        TERM.set(term)


def office_renewed() -> None:
    RENEWED.set_to_current_time()


def is_ready(ready: bool) -> None:
    READY.set(int(ready))


def mode_is(mode: str) -> None:
    for known in MODES:
        MODE.labels(known).set(int(known == mode))


def target_is(target_s: float) -> None:
    TARGET_S.set(target_s)


def ticked(duration_s: float) -> None:
    TICK_S.observe(duration_s)
    LAST_TICK.set_to_current_time()


def cloud_is(numbers: Mapping[str, Values]) -> None:
    """What the leader counts, by the names of CLOUD; empty when this daemon does not hold office."""
    _CLOUD.show(numbers)


def findings_are(by_severity: Values) -> None:
    """Of the leader's newest check; empty when it has not looked yet."""
    _CLOUD.findings = by_severity


def credentials_end(by_kind: Values) -> None:
    """When, as Unix times; of the leader's newest look."""
    _CLOUD.ends = by_kind


def acted(kind: str, result: str) -> None:
    ACTIONS.labels(kind, result).inc()


def noted(event: str, level: str) -> None:
    NOTES.labels(event, level).inc()


def notified(channel: str, outcome: str) -> None:
    """Outcomes: delivered, failed (tried again), refused, gave-up, dropped (the queue was full)."""
    NOTIFICATIONS.labels(channel, outcome).inc()


def notifications_wait(channel: str, count: int) -> None:
    NOTIFICATIONS_WAITING.labels(channel).set(count)


def phase_ended(phase: str, duration_s: float) -> None:
    PHASE.labels(phase).observe(duration_s)


@contextmanager
def api_call(service: str, verb: str) -> Iterator[None]:
    with _timed(API_S.labels(service), lambda outcome: API_CALLS.labels(service, verb, outcome)):
        yield


@contextmanager
def journal_call(call: str) -> Iterator[None]:
    with _timed(JOURNAL_S.labels(call), lambda outcome: JOURNAL_CALLS.labels(call, outcome)):
        yield


@contextmanager
def _timed(histogram: Histogram, counter: Callable[[str], Counter]) -> Iterator[None]:
    """Outcomes are `done` and the names of our few errors, in lower case."""
    began_s, outcome = time.monotonic(), "done"
    try:
        yield
    except Exception as error:
        outcome = type(error).__name__.lower()
        raise
    finally:
        histogram.observe(time.monotonic() - began_s)
        counter(outcome).inc()
