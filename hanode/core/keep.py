"""What is kept of the circumstances of a failure: once when its fencing begins, and once more when room was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import cast

from hanode.core.brake import SILENT
from hanode.core.circumstances import MOST_HOSTS, MOST_INSTANCES, MOST_TEXTS, Bystander, Circumstances
from hanode.core.decisions import Verdict
from hanode.core.draft import Draft
from hanode.core.facts import Aggregate, Host, Instance, Resources, ServerGroup, Unknown
from hanode.core.judge import Evidence
from hanode.core.levels import together
from hanode.core.lifecycle import HostState
from hanode.core.model import WantKind
from hanode.core.needs import needs_of
from hanode.core.policy import StorageDomain
from hanode.core.records import HostRecovery

OURS = "hanode:"
READ_BY_RULES = ("trait:", "trait_group", "aggregate_instance_extra_specs:", "pci_passthrough:", "hw:tpm", "hw_tpm")
BEGUN = frozenset({HostState.FENCING, HostState.NEEDS_OPERATOR})


class _Around:
    """What all incidents that begin in one tick share: at ten thousand hosts it is looked at once, and only if one begins."""

    def __init__(self, draft: Draft) -> None:
        assert draft.fleet is not None, "there is evidence only of what Nova shows"
        self._draft, self._hosts = draft, draft.fleet.hosts

    @cached_property
    def domains(self) -> Mapping[str, StorageDomain | None]:
        return {name: self._draft.policy.domain_of(host) for name, host in self._hosts.items()}

    @cached_property
    def silent(self) -> frozenset[str]:
        """They failed too, or seem to."""
        return frozenset(self._draft.records) | {name for name, judged in self._draft.verdicts.items() if judged.verdict in SILENT}

    @cached_property
    def protected(self) -> int:
        return sum(1 for judged in self._draft.verdicts.values() if judged.verdict is not Verdict.EXEMPT)

    def of(self, failed: str) -> list[Host]:
        """First those that are silent too, then those of its own storage domain, then all others: at the end some may be left out."""
        ranks: tuple[list[Host], list[Host], list[Host]] = ([], [], [])
        domain = self.domains.get(failed)
        for name, host in sorted(self._hosts.items()):
            if name != failed:
                ranks[0 if name in self.silent else 1 if self.domains[name] == domain else 2].append(host)
        return [host for rank in ranks for host in rank]


def keep_circumstances(draft: Draft, evidence: Mapping[str, Evidence]) -> None:
    """No want is added for it: what is not known at that moment anyway is not kept."""
    around = _Around(draft) if evidence else None
    for name, record in sorted(draft.records.items()):
        e = evidence.get(name)
        if e is None or around is None:
            continue
        kept = record.circumstances
        if kept is None and record.state in BEGUN and not record.fence_attempt and record.proof is None:
            draft.save(replace(record, circumstances=_put_together(draft, record, e, around)))
        elif kept is not None and not kept.room_known and record.state is HostState.EVACUATING:
            _complete(draft, record, kept)


def _put_together(draft: Draft, record: HostRecovery, e: Evidence, around: _Around) -> Circumstances:
    policy = draft.policy
    plan = policy.plan_of(record.host)
    instances = _instances(draft, record.host)
    kept = dict(sorted(instances.items())[:MOST_INSTANCES])
    asked = frozenset(trait for instance in kept.values() for trait in needs_of(instance).traits)
    chosen = around.of(record.host)
    others = chosen[:MOST_HOSTS]
    made = Circumstances(
        at=draft.now.at, silent_s=e.silent_s, power=e.power.value if e.power else "",
        probes={network: trace.value for network, trace in sorted(e.probes.items())},
        protected=around.protected,
        policy=replace(policy, domains={}, fenceable=policy.fenceable & {record.host}, fence_plans={record.host: plan}, stores={}),
        itself=_bystander(draft, e.host, asked, around), hosts=tuple(_bystander(draft, host, asked, around) for host in others),
        aggregates=_aggregates([e.host, *others]), instances=kept, groups=_groups(draft, kept),
        left_out=len(chosen) - len(others) + len(instances) - len(kept),
    )
    return _with_room(draft, made) or made


def _with_room(draft: Draft, kept: Circumstances) -> Circumstances | None:
    reading = draft.snapshot.readings.get((WantKind.ROOM, ""))
    if reading is None or isinstance(reading.value, Unknown):
        return None
    room = cast("Mapping[str, Resources]", reading.value)
    return replace(kept, hosts=tuple(replace(host, free=dict(room.get(host.name, {}))) for host in kept.hosts), room_known=True)


def _complete(draft: Draft, record: HostRecovery, kept: Circumstances) -> None:
    """Only before the first placement: afterwards Placement shows what was taken."""
    before = draft.before.hosts.get(record.host)
    if before is None or any(entry.attempt for entry in before.instances.values()):
        return
    made = _with_room(draft, kept)
    if made is not None:
        draft.save(replace(record, circumstances=made))


def _groups(draft: Draft, instances: Mapping[str, Instance]) -> tuple[ServerGroup, ...]:
    reading = draft.snapshot.readings.get((WantKind.GROUPS, ""))
    if reading is None or isinstance(reading.value, Unknown):
        return ()
    groups = (group for group in cast("tuple[ServerGroup, ...]", reading.value) if group.members & instances.keys())
    return tuple(replace(group, members=group.members & instances.keys()) for group in groups)


def _bystander(draft: Draft, host: Host, asked: frozenset[str], around: _Around) -> Bystander:
    domain = around.domains[host.name]
    provider = host.hypervisor.provider_id if host.hypervisor else ""
    told = {trait: draft.snapshot.readings.get((WantKind.TRAIT, trait)) for trait in asked}
    holders = {trait: cast("frozenset[str]", found.value) for trait, found in told.items() if found and isinstance(found.value, frozenset)}
    power = together(draft.policy.plan_of(host.name), draft.power_traces(host.name), 0, draft.now.s - draft.policy.proof_s)
    service = host.service
    return Bystander(
        name=host.name, hypervisor=host.hypervisor.kind if host.hypervisor else "", zone=service.zone,
        domain=domain.name if domain else "", kind=domain.kind if domain else "",
        disabled=(service.disabled_reason or "disabled") if service.status != "enabled" else "",
        silent=host.name in around.silent, power=power.value if power else "",
        traits=frozenset(trait for trait, having in holders.items() if provider in having),
    )


def _aggregates(hosts: Iterable[Host]) -> tuple[Aggregate, ...]:
    found: dict[str, set[str]] = {}
    metadata = {aggregate.name: aggregate.metadata for host in hosts for aggregate in host.aggregates}
    for host in hosts:
        for aggregate in host.aggregates:
            found.setdefault(aggregate.name, set()).add(host.name)
    return tuple(Aggregate(name, frozenset(members), dict(metadata[name])) for name, members in sorted(found.items()))


def _instances(draft: Draft, host: str) -> Mapping[str, Instance]:
    reading = draft.snapshot.readings.get((WantKind.SERVERS, host))
    if reading is None or not isinstance(reading.value, tuple):
        return {}
    policy = draft.policy
    keys = {*policy.priority_keys, *policy.opt_in_keys, *policy.ready_keys, policy.group_key, policy.after_key}

    def part(texts: Mapping[str, str]) -> Mapping[str, str]:
        read = [key for key in sorted(texts) if key in keys or key.startswith((OURS, *READ_BY_RULES))]
        return {key: texts[key] for key in read[:MOST_TEXTS]}

    return {
        instance.instance_id: replace(
            instance, metadata=part(instance.metadata), extra_specs=part(instance.extra_specs),
            image_properties=part(instance.image_properties), locked_reason="",
        )
        for instance in cast("tuple[Instance, ...]", reading.value)
    }
