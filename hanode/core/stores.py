"""Which store could cut this host off from its disks, and which instances are wholly in it? Only of those is a cut as good as death."""

from __future__ import annotations

from hanode.core.facts import Host, Instance
from hanode.core.policy import Policy, StorePlan
from hanode.core.records import HostRecovery, InstanceRecovery, ProofKind


def store_key(domain: str, host: str) -> str:
    """The key of a reading; what a domain is called nobody restricts, so the host stands last."""
    return f"{domain}@{host}"


def domain_and_host(key: str) -> tuple[str, str]:
    domain, _, host = key.rpartition("@")
    return domain, host


def store_of(policy: Policy, host: Host) -> tuple[str, StorePlan] | None:
    """The store of the host's domain, where the operator lets its cut stand for death."""
    domain = policy.domain_of(host)
    plan = policy.stores.get(domain.name) if domain else None
    if domain is None or plan is None or not plan.proof or plan.kind != domain.kind or not plan.knows(host.name):
        return None
    return domain.name, plan


def by_storage(record: HostRecovery) -> bool:
    """Does nothing but a cut speak for its death? Then it may live, and its guests may run and answer."""
    return record.proof is not None and record.proof.kind is ProofKind.STORAGE


def why_not_whole(now: Instance, entry: InstanceRecovery, domain: str, plan: StorePlan | None) -> str:
    """Why a disk of it may lie elsewhere than in this store, where its guest could go on writing; "" when none does.

    The domain written down when its host fell silent counts. Where a volume lies Nova does not tell: the operator says it, or nobody.
    """
    if now.has_local_disk and entry.domain != domain:
        return f"its own disk is not in storage {domain}"
    if plan is not None and plan.volumes:
        return ""
    if now.boots_from_volume or now.volumes:
        return f"it has volumes, and nobody has said that those lie in storage {domain}"
    return "" if now.volumes is not None else "Nova does not tell whether it has volumes"
