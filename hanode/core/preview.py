"""What would happen, step by step, if these hosts failed now? The gates, the fence, each instance's place, and how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median

from hanode.core import accounts, repeats
from hanode.core.facts import Host
from hanode.core.judge import exemption
from hanode.core.lifecycle import InstanceState
from hanode.core.place import Refused
from hanode.core.policy import Policy
from hanode.core.records import Records
from hanode.core.room import Ask
from hanode.core.stock import Outcome, Stock, asks_of, fail, is_protected, silent


@dataclass(frozen=True)
class Lasted:
    """How long it took before, in seconds: the medians of what the journal's history has; None: it has nothing of that."""

    fence_s: float | None = None  # from the first suspicion to the proof of death
    restart_s: float | None = None  # of one instance, from its request until it runs as before
    incidents: int = 0

    @staticmethod
    def of(fences_s: Iterable[float], restarts_s: Iterable[float]) -> Lasted:
        fences, restarts = list(fences_s), list(restarts_s)
        return Lasted(median(fences) if fences else None, median(restarts) if restarts else None, len(fences))


@dataclass(frozen=True)
class Line:
    step: str  # "gate" | "fence" | "spare" | "restart" | "left" | "skipped" | "duration"
    subject: str
    what: str
    at_s: float | None = None  # about so long after the failure, where that is known


def preview(stock: Stock, dead: frozenset[str], records: Records, policy: Policy, lasted: Lasted) -> tuple[Line, ...]:
    outcome = fail(stock, dead, {host: _asks(stock, host, records, policy) for host in sorted(dead)})
    gated = {host: _why_not(stock.hosts[host], records, policy) for host in sorted(dead)}
    return (
        *_gates(stock, dead, gated, policy),
        *(line for host in sorted(dead) if not gated[host] for line in _fence(host, policy)),
        *_spares(stock, outcome, gated),
        *_instances(outcome, gated, policy, lasted),
        *(line for host in sorted(dead) for line in _skipped(stock, host, policy)),
        *_duration(outcome, gated, policy, lasted),
    )


def _asks(stock: Stock, host: str, records: Records, policy: Policy) -> tuple[Ask, ...]:
    """As they would be asked for: of some it is known that they ran on other hosts that failed lately."""
    asks = asks_of(stock, host, policy)
    told = repeats.if_it_failed(records.roster, host, [ask.instance.instance_id for ask in asks], policy)
    return tuple(replace(ask, record=replace(ask.record, failed_hosts=told.get(ask.instance.instance_id, ()))) for ask in asks)


def _why_not(host: Host, records: Records, policy: Policy) -> str:
    """Why nothing would be done for it; "" when it would be fenced and evacuated."""
    if policy.recovery_of(host) == "restart":
        return "its recovery policy is restart: it is switched off and on, and its instances start where they are"
    if host.name not in records.roster.seen:
        return "no leader has ever seen it up: it would be HELD"
    return exemption(silent(host, policy, records.roster)) or ""


def _gates(stock: Stock, dead: frozenset[str], gated: Mapping[str, str], policy: Policy) -> Iterator[Line]:
    protected = sum(1 for host in stock.hosts.values() if is_protected(host, policy))
    limit = policy.brake_limit(protected)
    for host in sorted(dead):
        mode = policy.mode_of(stock.hosts[host])
        yield Line("gate", host, gated[host] or "judged by its own evidence: no sign of life, or its power device reading off twice")
        if mode != "act":
            asked = "waits for `hanode incident approve`" if mode == "approve" else "nothing is written to the world"
            yield Line("gate", host, f"mode {mode}: {asked}")
    if len(dead) > limit:
        yield Line(
            "gate", "", f"{len(dead)} hosts at once are more than the brake lets pass ({limit}): those that are not proven dead by"
            " their own devices are HELD, until you name them with `hanode brake release`"
        )


def _fence(host: str, policy: Policy) -> Iterator[Line]:
    plan = policy.plan_of(host)
    if not plan.levels:
        yield Line("fence", host, f"{plan.by_hand or 'no power device'}: a person must type `hanode host confirm-fenced {host}`")
    for number, level in enumerate(plan.levels, 1):
        kind = "outlets that feed it" if level.outlets else "its power device"
        yield Line("fence", host, f"level {number}: {kind}, {level.tries} {'tries' if level.tries > 1 else 'try'} in one pass")


def _spares(stock: Stock, outcome: Outcome, gated: Mapping[str, str]) -> Iterator[Line]:
    home = {ask.instance.instance_id: ask.source.name for ask in outcome.asks}
    called = Counter(spare for key, spare in outcome.called.items() if not gated[home[key]])
    for spare, count in sorted(called.items()):
        kept = stock.hosts[spare].service.disabled_reason or "no reason given"
        yield Line("spare", spare, f"kept in reserve ({kept}), is enabled: {count} of the instances fit nowhere else")


def _instances(outcome: Outcome, gated: Mapping[str, str], policy: Policy, lasted: Lasted) -> Iterator[Line]:
    ends_s = _ends(outcome, gated, policy, lasted)
    for ask in outcome.asks:
        if gated[ask.source.name]:
            yield Line("left", ask.instance.name, f"stays on {ask.source.name}: {gated[ask.source.name]}")
            continue
        place = outcome.places[ask.instance.instance_id]
        kept_back = repeats.why_kept_back(ask.record, ask.source.name, policy)
        if kept_back:
            yield Line("left", ask.instance.name, f"on {ask.source.name} would wait: {kept_back}")
        elif isinstance(place, Refused):
            help_ = f"; {place.remedy}" if place.remedy else ""
            yield Line("left", ask.instance.name, f"on {ask.source.name} would wait: {place.reason}{help_}")
        else:
            last = f", last and alone: it {repeats.in_words(ask.record.failed_hosts, policy)}" if ask.record.is_doubted else ""
            said = f"from {ask.source.name} to {place.target}{last}"
            yield Line("restart", ask.instance.name, said, ends_s.get(ask.instance.instance_id))


def _skipped(stock: Stock, host: str, policy: Policy) -> Iterator[Line]:
    for server in sorted(stock.servers.get(host, ()), key=lambda s: s.name):
        found = accounts.classify(server, policy, stock.skip_images)
        if found is not None and found[0] is not InstanceState.PENDING:
            yield Line("skipped", server.name, f"on {host} {found[1]}")


def _ends(outcome: Outcome, gated: Mapping[str, str], policy: Policy, lasted: Lasted) -> Mapping[str, float]:
    """When each would run again: in their order, each as soon as the limits on concurrency let it."""
    if lasted.fence_s is None or lasted.restart_s is None:
        return {}
    running: list[tuple[float, str, str]] = []  # when it ends, its target, its domain
    ends: dict[str, float] = {}
    now_s = lasted.fence_s
    for ask in outcome.asks:
        place = outcome.places[ask.instance.instance_id]
        if isinstance(place, Refused) or gated[ask.source.name]:
            continue
        domain = ask.domain.name if ask.domain else ""
        while _is_full(running, place.target, domain, policy):
            running.sort()
            now_s = max(now_s, running.pop(0)[0])
        ends[ask.instance.instance_id] = now_s + lasted.restart_s
        running.append((now_s + lasted.restart_s, place.target, domain))
    return ends


def _is_full(running: list[tuple[float, str, str]], target: str, domain: str, policy: Policy) -> bool:
    targets, domains = Counter(one[1] for one in running), Counter(one[2] for one in running)
    per_target, per_domain = targets[target] >= policy.max_per_target, domains[domain] >= policy.max_per_domain
    return len(running) >= policy.max_evacuations or per_target or per_domain


def _duration(outcome: Outcome, gated: Mapping[str, str], policy: Policy, lasted: Lasted) -> Iterator[Line]:
    ends = _ends(outcome, gated, policy, lasted)
    if lasted.fence_s is None or lasted.restart_s is None:
        yield Line("duration", "", "not predicted: the journal's history has no incident with a fence and a restart yet")
        return
    said = f"by {lasted.incidents} incidents: {lasted.fence_s:.0f} s from suspicion to fence, {lasted.restart_s:.0f} s for each instance"
    count = len(ends)
    last = max(ends.values(), default=lasted.fence_s)
    yield Line("duration", "", f"{count} instances run again within about {last:.0f} s of the first suspicion ({said})", last)
