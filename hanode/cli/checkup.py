"""Is this cloud ready for hanode, and hanode for it? Facts that were read, judged into findings with a remedy each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hanode.core.facts import Fleet, Host, StoreCheck
from hanode.core.policy import MARKER, Policy
from hanode.core.signals import few
from hanode.core.stores import store_of
from hanode.engine.age import SKEW_S

if TYPE_CHECKING:
    from hanode.adapters.etcd_health import Health

SKEW_NOTICED_S = 5.0
"""The Date of an HTTP answer has whole seconds, and the answer was under way."""

SLOW_SHARE = 0.25
"""Of [journal] timeout_s: a journal this slow on a quiet day loses its leader on a bad one."""

KEEPS_DISKS = (2, 88)
"""Wallaby. Before it, and before fixes that the API does not show, a failed evacuation deleted disks on shared storage."""


STOPS_WHAT_IT_EVACUATES = (2, 95)


class Severity(StrEnum):
    ERROR = "error"  # hanode cannot start, or cannot do its work
    WARNING = "warning"  # something is not protected, or will hurt on the day it is needed
    INFO = "info"  # to know, or to look at by hand


@dataclass(frozen=True)
class Finding:
    severity: Severity
    what: str
    why: str
    remedy: str


def of_versions(service: str, oldest: Sequence[int], newest: Sequence[int], pinned: Collection[str]) -> Iterator[Finding]:
    missing = [version for version in sorted(set(pinned), key=_number) if not tuple(oldest) <= _number(version) <= tuple(newest)]
    if missing:
        yield Finding(
            Severity.ERROR, f"{service} does not offer microversion {', '.join(missing)}",
            f"it offers {_text(oldest)} to {_text(newest)}; hanode pins the meaning of each call by its microversion",
            "upgrade it (hanode needs Nova of Train or newer), or point [keystone] region_name and interface at the right endpoint")
    elif service == "compute" and tuple(newest) < KEEPS_DISKS:
        yield Finding(
            Severity.WARNING, f"this Nova (microversion {_text(newest)}) may delete disks",
            "before 19.3, 20.4, 21.1 and 22.0 a failed evacuation deleted the disks on shared storage (Launchpad bug 1550919); "
            "the API does not tell the exact release",
            "look at the installed version on every compute host, and upgrade before mode = act")


def of_stopped_first(newest: Sequence[int]) -> Iterator[Finding]:
    """Whether a nova-compute is too old for it, the API does not tell before it is asked."""
    if tuple(newest) < STOPS_WHAT_IT_EVACUATES:
        yield Finding(
            Severity.WARNING, f"[evacuation] stopped_first has no effect with this Nova (microversion {_text(newest)})",
            f"it needs {_text(STOPS_WHAT_IT_EVACUATES)}; each instance is asked for, refused, and asked for again as usual, which costs an"
            " attempt and seconds", "switch it off until Nova is 27.0.0 or newer, on every compute host")


def of_clock(skew_s: float) -> Iterator[Finding]:
    if abs(skew_s) > SKEW_NOTICED_S:
        yield Finding(
            Severity.ERROR if abs(skew_s) > SKEW_S else Severity.WARNING,
            f"this clock and Nova's differ by {abs(skew_s):.0f} s",
            f"an operator's command is refused as too old or too new when the clocks of controllers differ by more than {SKEW_S:.0f} s; "
            "waits are not hurt, they are measured without it", "let chrony or ntpd run on every controller: chronyc tracking")


def of_catalogue(services: Collection[str]) -> Iterator[Finding]:
    if {"instance-ha", "ha", "masakari"} & set(services):
        yield Finding(
            Severity.WARNING, "Masakari is in the catalogue", "two systems that evacuate the same host can start an instance twice",
            "stop its host monitors (systemctl disable --now masakari-hostmonitor) before mode = act")
    if "placement" not in services:
        yield Finding(Severity.ERROR, "Placement is not in the catalogue", "without it nobody knows where there is room",
                      "create its endpoint: openstack endpoint create ... placement internal URL")


def of_roles(roles: Collection[str]) -> Iterator[Finding]:
    """What hanode reads is tried by this check; what it writes cannot be tried without doing it."""
    if "admin" not in roles:
        yield Finding(
            Severity.INFO, f"the user of [keystone] has the roles {', '.join(sorted(roles)) or '(none)'}, not admin",
            "whether it may evacuate, lock, start, stop, force down and disable is seen at the first incident",
            "compare the policies of Nova and Placement with etc/hanode/openstack (docs/security.md)")


def of_neighbours(services: Collection[str], policy: Policy, fleet: Fleet) -> Iterator[Finding]:
    """Settings of other services by which a guest that is restarted elsewhere does not start; no API tells them."""
    found = (policy.domain_of(host) for host in fleet.hosts.values())
    if any(domain.kind == "rbd" for domain in found if domain):
        yield Finding(
            Severity.INFO, "Ceph capabilities of Nova's user cannot be read from here",
            "a guest whose host died left its lock on the image; without the right to blocklist, its successor waits or starts read-only",
            "ceph auth get client.nova (and client.cinder): caps mon = 'profile rbd'")
    if {"volumev3", "block-storage"} & set(services):
        yield Finding(
            Severity.INFO, "service tokens of Nova and Cinder cannot be read from here",
            "since CVE-2023-2088 Cinder refuses to detach a volume of an instance without one, and an evacuation of it fails",
            "grep -A9 '^\\[service_user\\]' /etc/nova/nova.conf (send_service_user_token = true) on compute hosts and conductors")
    if "key-manager" in services:
        yield Finding(
            Severity.INFO, "rights to the keys of encrypted volumes cannot be read from here",
            "Nova asks Barbican for the key as the user who evacuates; without the right the instance ends in ERROR",
            "give the user of [keystone] the right to read secrets of other projects (policy secret:decrypt, secret:get), or try it "
            "once: openstack server evacuate, as that user")


def of_hosts(fleet: Fleet, policy: Policy) -> Iterator[Finding]:
    """What stands between a host and its protection."""
    protected = {name: host for name, host in sorted(fleet.hosts.items()) if _is_protected(host, policy)}
    if not protected:
        yield Finding(Severity.ERROR, "no host is protected", f"Nova shows {len(fleet.hosts)} compute hosts, and all are left out",
                      "look at [protection] aggregates and hypervisor_kinds")
    yield from _of_kinds(fleet, policy)
    yield from _of_storage(protected, policy)
    yield from _of_fencing(protected, fleet, policy)
    yield from _of_stores(fleet, policy)
    yield from _of_others(fleet)


def of_stores(checks: Mapping[str, StoreCheck]) -> Iterator[Finding]:
    """Storage domain -> what its store said. Its credentials are needed in the one night in which no power device answers."""
    for domain, checked in sorted(checks.items()):
        if checked.trouble:
            yield Finding(Severity.WARNING, f"the store {domain} would cut nobody off", checked.trouble,
                          "mend it, then: hanode fence check")
        if checked.cut:
            yield Finding(Severity.INFO, f"the store {domain} cuts off {few(sorted(checked.cut))}", "they have no disks there now",
                          "normal while their incidents are open: hanode incident list")


def of_etcd(members: Sequence[Health], listed: int | None, timeout_s: float) -> Iterator[Finding]:
    """`listed`: so many members the cluster itself counts; None when it does not tell us."""
    answering = [member for member in members if not member.trouble]
    for member in members:
        if member.trouble:
            yield Finding(
                Severity.WARNING if answering else Severity.ERROR, f"etcd at {member.endpoint} does not answer",
                member.trouble, "look at it: etcdctl endpoint status --cluster; or correct [journal] url")
        elif member.took_s > SLOW_SHARE * timeout_s:
            yield Finding(
                Severity.WARNING, f"etcd at {member.endpoint} is slow: {1000 * member.took_s:.0f} ms for one read",
                f"a call that lasts longer than [journal] timeout_s ({timeout_s:g} s) costs the leader its office",
                "give etcd a disk of its own (etcdctl check perf), or raise [journal] timeout_s and [office] lease_ttl_s together")
        if member.is_full:
            yield Finding(
                Severity.ERROR, f"etcd at {member.endpoint} is out of space (alarm NOSPACE)",
                "nothing can be written, so nobody can lead and no incident can begin",
                "etcdctl compact, etcdctl defrag, then etcdctl alarm disarm; raise --quota-backend-bytes")
    size = listed or len(members)
    if size < 3 or size % 2 == 0:
        yield Finding(Severity.WARNING, f"etcd has {size} member{'s' if size > 1 else ''}",
                      f"it stands still when {(size - 1) // 2 + 1} of them {'is' if size < 3 else 'are'} lost, and hanode with it",
                      "run three or five members, on different racks")
    elif size > len(members):
        yield Finding(Severity.INFO, f"[journal] url names {len(members)} of {size} members of etcd",
                      "while those are down hanode has no journal, although etcd has", "name all of them in [journal] url")


def of_rest(policy: Policy) -> Iterator[Finding]:
    """What no API tells, and what the operator decided."""
    yield Finding(
        Severity.INFO, "resume_guests_state_on_host_boot cannot be read from here",
        "with it, or with libvirt-guests, a host that comes back can start guests that run elsewhere by then",
        "on each compute host: grep -r resume_guests_state_on_host_boot /etc/nova (false, or absent); "
        "systemctl is-enabled libvirt-guests (disabled)")
    if policy.mode == "observe":
        yield Finding(Severity.INFO, "mode = observe", "failed hosts are reported, nothing is fenced or restarted",
                      "after some weeks without a wrong incident: mode = act, systemctl reload hanode")
    if not policy.networks:
        yield Finding(Severity.WARNING, "[probe] kind = none",
                      "only power devices can tell a dead host from one whose nova-compute is dead",
                      "set [probe] kind = icmp or tcp")


# --------------------------------------------------------------------------- of hosts


def _of_kinds(fleet: Fleet, policy: Policy) -> Iterator[Finding]:
    kinds = Counter(host.hypervisor.kind for host in fleet.hosts.values() if host.hypervisor)
    for kind, count in sorted(kinds.items()):
        if kind not in policy.hypervisor_kinds:
            yield Finding(Severity.INFO, f"{count} host{'s' if count > 1 else ''} of hypervisor type {kind} not protected",
                          "the type is not in [protection] hypervisor_kinds; proxies (vCenter, Ironic) must not be",
                          "add it only if powering such a host off kills no machine of others")


def _of_storage(protected: Mapping[str, Host], policy: Policy) -> Iterator[Finding]:
    domains = {name: policy.domain_of(host) for name, host in protected.items()}
    undeclared = [name for name, domain in domains.items() if domain is None]
    if undeclared:
        yield Finding(
            Severity.WARNING, f"no storage domain declared: {few(undeclared)}",
            "instances with disks of their own are not evacuated from there; only those that boot from volumes are",
            f"openstack aggregate set --property {policy.storage_key}=NAME AGGREGATE, or [storage] domains")
    odd = sorted({f"{domain.name} ({domain.kind})" for domain in domains.values() if domain and domain.kind not in {"rbd", "file"}})
    if odd:
        yield Finding(Severity.WARNING, f"storage domain of an unknown kind: {few(odd)}", "it is taken for a mounted share (file)",
                      f"openstack aggregate set --property {policy.storage_kind_key}=file AGGREGATE (or rbd)")
    sizes = Counter(domain.name for domain in domains.values() if domain)
    alone = sorted(name for name, size in sizes.items() if size == 1)
    if alone:
        yield Finding(Severity.WARNING, f"storage domain with one host only: {few(alone)}", "there is no other host that sees its disks",
                      "declare the other hosts of that storage, or expect these instances to wait for their host")


def _of_fencing(protected: Mapping[str, Host], fleet: Fleet, policy: Policy) -> Iterator[Finding]:
    without = {name: store_of(policy, host) is not None for name, host in protected.items() if not policy.plan_of(name).levels}
    if nobody := [name for name, has_store in without.items() if not has_store]:
        yield Finding(Severity.WARNING, f"no power device: {few(nobody)}", "hanode cannot prove them dead; each waits for a person",
                      "describe them in fencing.yaml, then: hanode fence check")
    if by_store := [name for name, has_store in without.items() if has_store]:
        yield Finding(Severity.INFO, f"no power device, only their store: {few(by_store)}",
                      "what is wholly in that store is restarted elsewhere, while the old guests may run on without disks",
                      "docs/fencing.md, \"By the storage alone\", says what that means; a power device is better")
    strays = sorted(policy.fenceable - fleet.hosts.keys())
    if strays:
        yield Finding(Severity.WARNING, f"fencing.yaml describes hosts that Nova does not know: {few(strays)}",
                      "their power devices protect nobody; mostly a typing error", "write them as `openstack compute service list` does")


def _of_stores(fleet: Fleet, policy: Policy) -> Iterator[Finding]:
    """Of those in fencing.yaml: whom could they cut off at all?"""
    for name, plan in sorted(policy.stores.items()):
        domains = {host.name: domain for host in fleet.hosts.values() if (domain := policy.domain_of(host)) and domain.name == name}
        other_kinds = sorted({domain.kind for domain in domains.values()} - {plan.kind})
        what = f"fencing.yaml describes a store {name}"
        if not domains:
            yield Finding(Severity.WARNING, f"{what}, which is no host's storage domain", "it can cut nobody off; mostly a typing error",
                          f"write it as the hosts' {policy.storage_key} does")
        elif other_kinds:
            yield Finding(Severity.WARNING, f"{what} of kind {plan.kind}, and its hosts have kind {few(other_kinds)}",
                          "it is not used for them", f"correct its kind there, or {policy.storage_kind_key} of the aggregate")
        elif plan.proof and (unknown := sorted(host for host in domains if not plan.knows(host))):
            yield Finding(Severity.WARNING, f"{what} that does not know {few(unknown)}",
                          "it cannot cut these off; nothing but a power device or a person proves them dead", "name them there")


def _of_others(fleet: Fleet) -> Iterator[Finding]:
    reasons = {name: host.service.disabled_reason for name, host in sorted(fleet.hosts.items())}
    theirs = [name for name, reason in reasons.items() if "instanceha" in reason.lower()]
    tagged = sorted({a.name for host in fleet.hosts.values() for a in host.aggregates if "evacuable" in " ".join(a.metadata).lower()})
    if theirs or tagged:
        yield Finding(
            Severity.WARNING, f"InstanceHA seems to be at work here: {few([*theirs, *tagged])}",
            "two systems that evacuate the same host can start an instance twice", "stop it before mode = act")
    ours = [name for name, reason in reasons.items() if reason.startswith(MARKER)]
    if ours:
        yield Finding(Severity.INFO, f"marked by a hanode in Nova: {few(ours)}",
                      "normal while their incidents are open in this journal; with an empty journal nothing is done to them",
                      "hanode incident list; hanode host release HOST when it is repaired")


def _is_protected(host: Host, policy: Policy) -> bool:
    wanted = not policy.protected_aggregates or any(a.name in policy.protected_aggregates for a in host.aggregates)
    return wanted and (host.hypervisor is None or host.hypervisor.kind in policy.hypervisor_kinds)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _text(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)
