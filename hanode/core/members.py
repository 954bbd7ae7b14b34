"""Are the disks of a storage domain really on this host? What is new is waited for, what is unlike the others is not believed.

Hosts are declared to see the same disks. Who has just been declared may not be set up yet; and a share that is not mounted, or a pool
of another cluster, shows in the size of what the host reports as its disk space (nova virt/libvirt/driver.py `_get_local_gb_info`): all
hosts of a domain report the same store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanode.core.draft import Draft
from hanode.core.facts import Host
from hanode.core.policy import Policy

ALIKE = 0.01
"""Sizes that differ by no more than this share are those of one store: a pool's total moves a little between two reports."""

LOOKED_EVERY_S = 60.0
"""As old as the adapter's inventory of aggregates gets; a declaration is not seen sooner."""


def domains_of(hosts: Mapping[str, Host], policy: Policy) -> Mapping[str, str]:
    found = {name: policy.domain_of(host) for name, host in sorted(hosts.items())}
    return {name: domain.name for name, domain in found.items() if domain is not None}


def watch_members(draft: Draft) -> None:
    """Who belongs to which domain for long enough. The first leader ever takes all that it finds as it is.

    Each leader counts anew, so a change of leader makes a new host wait longer, never shorter.
    """
    if draft.fleet is None or not (draft.roster.members or draft.fleet.hosts):
        return
    looked = draft.roster.members and draft.peek("members") is not None
    joining = any(name.startswith("joined/") for name in draft.timers.waits)
    if looked and not joining and draft.now.s - draft.since("members") < LOOKED_EVERY_S:
        return
    draft.restart_wait("members")
    known, now = draft.roster.members, domains_of(draft.fleet.hosts, draft.policy)
    settled = {host: domain for host, domain in now.items() if not known or known.get(host) == domain or _has_waited(draft, host, domain)}
    if settled != known:
        draft.roster = replace(draft.roster, members=settled)


def _has_waited(draft: Draft, host: str, domain: str) -> bool:
    return draft.waited(f"joined/{host}/{domain}", draft.policy.join_s)


def newcomers(draft: Draft, hosts: Mapping[str, Host]) -> Mapping[str, str]:
    """Hosts of which it is not known for join_s that they belong to their domain -> why nobody's disk is looked for there."""
    known = draft.roster.members
    if not known:
        return {}
    found = {name: domain for name, domain in domains_of(hosts, draft.policy).items() if known.get(name) != domain}
    return {name: f"new in storage domain {domain}: not believed before it has been in it for a while" for name, domain in found.items()}


def unlike(hosts: Mapping[str, Host], policy: Policy) -> Mapping[str, str]:
    """Hosts whose disk space is of another size than that of most hosts of their domain -> why they are not believed.

    Only where more than half of those that report agree: of two that differ nobody knows which is right, and hosts without any shared
    store (each with disks of its own) have no majority. A host that is down counts as it last reported.
    """
    sizes: dict[str, dict[str, int]] = {}
    for name, domain in domains_of(hosts, policy).items():
        hypervisor = hosts[name].hypervisor
        if hypervisor is not None and hypervisor.disk_gb > 0:
            sizes.setdefault(domain, {})[name] = hypervisor.disk_gb
    found: dict[str, str] = {}
    for domain, told in sorted(sizes.items()):
        usual = _majority(list(told.values()))
        found |= {name: f"share not mounted? It reports {size} GB of disk, most hosts of {domain} {usual}"
                  for name, size in told.items() if usual is not None and not _alike(size, usual)}
    return found


def _majority(sizes: list[int]) -> int | None:
    """The size with which more than half agree; None: there is none."""
    for size in sorted(set(sizes)):
        if 2 * sum(_alike(other, size) for other in sizes) > len(sizes):
            return size
    return None


def _alike(one: int, other: int) -> bool:
    return abs(one - other) <= ALIKE * max(one, other)
