"""Is every instance of a failed host accounted for (S8), and what may be done with each by its Nova state?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanode.core.devices import wanted
from hanode.core.facts import Instance, Resources
from hanode.core.lifecycle import InstanceState
from hanode.core.once import once_with
from hanode.core.policy import MARKER, Policy
from hanode.core.priority import Priority, is_wanted, priority_of, starts_after
from hanode.core.records import Before, InstanceRecovery
from hanode.core.serving import check_of

NOT_OURS = frozenset({"building", "shelved_offloaded", "deleted"})
LEAVING = frozenset({"deleting", "soft-deleting"})
RUNNABLE = frozenset({"active", "stopped", "error"})

SKIPPED_STATES: Mapping[str, str] = {
    "paused": "is PAUSED: Nova does not evacuate it; reset its state to error and it is restarted elsewhere, or wait for its host",
    "suspended": "is SUSPENDED: its memory lies on the failed host; reset its state to error and it is restarted elsewhere without it",
    "rescued": "is in RESCUE: unrescue it when its host is back, or reset its state to error and it is restarted elsewhere",
    "resized": "waits for its resize to be confirmed: confirm or revert it when the host is back",
    "shelved": "is SHELVED: unshelve it when its host is back",
}


def classify(instance: Instance, policy: Policy, skip_images: frozenset[str]) -> tuple[InstanceState, str] | None:
    """What is to be done with an instance found on a failed host; None: it is not ours (building, offloaded)."""
    if instance.vm_state in NOT_OURS:
        return None
    if instance.task_state in LEAVING or instance.vm_state == "soft-delete":
        # Nova does not look at task_state and would bring a dying instance back to life.
        return InstanceState.GONE, "its owner is deleting it"
    if instance.project_id in policy.skip_projects:
        return InstanceState.SKIPPED, "its project is in skip_projects (a load balancer's amphora is replaced by Octavia itself)"
    if instance.image_id in skip_images:
        return InstanceState.SKIPPED, "its image is tagged as an amphora's: Octavia replaces it itself"
    if (instance.task_state or "").startswith("resize_"):
        return InstanceState.SKIPPED, "is being resized: when the host is back, confirm or revert the resize"
    unwanted = _unwanted(instance, policy)
    if unwanted:
        return InstanceState.SKIPPED, unwanted
    if instance.vm_state in RUNNABLE:
        return InstanceState.PENDING, "to be restarted"
    return InstanceState.SKIPPED, SKIPPED_STATES.get(instance.vm_state, f"is in vm_state {instance.vm_state}, which Nova does not evacuate")


def _unwanted(instance: Instance, policy: Policy) -> str:
    """Why nobody wants it elsewhere; it is started at home when its host is back."""
    if not is_wanted(instance, policy):
        return f"carries none of {', '.join(sorted(policy.opt_in_keys))} (opt_in_keys) on itself, its flavor or its image"
    if priority_of(instance, policy) is Priority.DISABLED:
        return "its restart priority is disabled"
    return ""


@once_with
def account(
    instance: Instance, domain: str, consumed: Mapping[str, Resources], policy: Policy, skip_images: frozenset[str]
) -> InstanceRecovery | None:
    """The first entry for an instance: what it was, and what is to be done with it."""
    found = classify(instance, policy, skip_images)
    if found is None:
        return None
    ours = instance.locked and instance.locked_reason.startswith(MARKER)
    before = Before(instance.vm_state, instance.power_state, instance.locked and not ours)
    check, address = check_of(instance, policy)
    return InstanceRecovery(
        instance_id=instance.instance_id,
        name=instance.name,
        state=found[0],
        reason=found[1],
        before=before,
        project_id=instance.project_id,
        priority=priority_of(instance, policy),
        group=instance.metadata.get(policy.group_key, ""),
        after=starts_after(instance, policy),
        check=check,
        address=address,
        domain=domain,
        resources={**(consumed.get(instance.instance_id) or flavor_resources(instance)), **wanted(instance)},
    )


def flavor_resources(instance: Instance) -> Resources:
    """What Nova will ask Placement for, where its present allocation could not be read (scheduler/utils.py)."""
    swap_gb = -(-instance.swap_mb // 1024)
    disk_gb = (0 if instance.boots_from_volume else instance.disk_gb) + instance.ephemeral_gb + swap_gb
    found = {"VCPU": instance.vcpus, "MEMORY_MB": instance.ram_mb, "DISK_GB": disk_gb}
    return {name: amount for name, amount in found.items() if amount}


def table(
    old: Mapping[str, InstanceRecovery],
    servers: Mapping[str, Instance],
    first: Mapping[str, InstanceRecovery | None],
    untouched: bool = False,
) -> Mapping[str, InstanceRecovery]:
    """The instance table after the servers of the host were read again.

    What was written down before the failure stays (the state we promised to put back); newcomers are added; those whose
    former story had ended at home begin a new one. `first`: the entry each server would get today.
    """
    result = dict(old)
    for instance_id in sorted(servers):
        entry, former = first[instance_id], old.get(instance_id)
        if entry is None:
            continue
        if former is None or former.state in {InstanceState.RETURNED, InstanceState.VERIFIED}:
            result[instance_id] = entry
        elif untouched and former.state is InstanceState.PENDING and entry.before.power_state == "running" and not former.ours:
            if former.before != entry.before:
                result[instance_id] = replace(former, before=entry.before)  # started since its host first fell silent
        elif untouched and former.state is InstanceState.SKIPPED and entry.state is InstanceState.PENDING:
            result[instance_id] = replace(former, state=entry.state, reason=entry.reason)  # an operator did what its reason advised
        elif former.state is InstanceState.PENDING and entry.state is not InstanceState.PENDING:
            result[instance_id] = replace(former, state=entry.state, reason=entry.reason)
    return dict(sorted(result.items()))


def recoverable(instances: Mapping[str, InstanceRecovery]) -> bool:
    return any(i.state not in {InstanceState.SKIPPED, InstanceState.GONE} for i in instances.values())
