"""What has the operator decided? Every threshold, limit and list the core judges by, and how they must fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from hanode.core.facts import Host
from hanode.core.once import once
from hanode.core.signals import KDUMP, MANAGEMENT

MARKER = "hanode:"
"""Every disabled_reason and lock reason of ours starts with this word: so we know our own marks in Nova."""


TRUE = frozenset({"true", "yes", "1", "on"})
"""What people write in metadata when they mean yes; compared in small letters."""


@dataclass(frozen=True)
class StorageDomain:
    """A set of hosts that see the same disks. `kind`: rbd (a cluster) or file (a mounted share)."""

    name: str
    kind: str


@dataclass(frozen=True)
class FenceLevel:
    """Power devices that act together: each of them must confirm."""

    tries: int = 1  # power-offs sent to it in one pass over the levels
    outlets: bool = False  # they only feed the host: "on" says that there is current, not that it lives
    copies: bool = False  # what is read of them is a copy that may be old (Ironic): off counts only after an off of ours was done


@dataclass(frozen=True)
class FencePlan:
    """What a host's power devices are to the core: levels in the order in which they are tried, and a word for people."""

    levels: tuple[FenceLevel, ...] = ()
    by_hand: str = ""  # how a person makes sure that the host is dead

    @property
    def order(self) -> tuple[int, ...]:
        """The levels of one pass by number, each once for each of its tries: (1, 1, 2)."""
        return tuple(number for number, level in enumerate(self.levels, 1) for _ in range(level.tries))


@dataclass(frozen=True)
class StorePlan:
    """What a store that can cut a host off from its disks is to the core."""

    proof: bool = False  # the operator lets a cut stand for death, for instances that are wholly there
    kind: str = "rbd"  # of the storage domain that it serves; another one is not this store
    hosts: tuple[str, ...] = ("*",)  # names and patterns of those that it can tell apart
    volumes: bool = False  # the operator says that every volume of their instances lies there as well
    expires_s: float = 3600.0  # after so long the store forgets a cut that nobody renews; 0: never
    by_hand: str = ""  # how a person gives a host its disks back

    def knows(self, host: str) -> bool:
        return any(fnmatchcase(host, pattern) for pattern in self.hosts)


ONE_DEVICE = FencePlan((FenceLevel(),))
NO_DEVICE = FencePlan()


@dataclass(frozen=True)
class Policy:
    # how far we may go
    mode: str = "observe"  # observe | approve | act
    mode_by_aggregate: Mapping[str, str] = field(default_factory=dict)
    release: str = "operator"  # operator | auto
    healthy_s: float = 120.0  # release auto: after so long of fresh heartbeats
    flap_incidents: int = 3  # fenced so often, a host is not taken back by itself...
    flap_window_s: float = 86400.0  # ...each time within so long of the time before
    power_on: bool = False  # switch a host on again once its instances have found their end
    recovery: str = "evacuate"  # evacuate | restart | none
    recovery_by_aggregate: Mapping[str, str] = field(default_factory=dict)

    # who is protected
    hypervisor_kinds: frozenset[str] = frozenset({"QEMU", "KVM"})
    protected_aggregates: frozenset[str] = frozenset()  # empty: every host
    fence_living_aggregates: frozenset[str] = frozenset()
    protect_disabled: bool = False
    own_hosts: frozenset[str] = frozenset()  # controllers that hanode itself runs on
    skip_projects: frozenset[str] = frozenset()  # project ids whose instances are never evacuated (Octavia)
    fenceable: frozenset[str] = frozenset()  # hosts with a power device
    fence_plans: Mapping[str, FencePlan] = field(default_factory=dict)  # more of them: by host, or by a pattern such as compute-*
    stores: Mapping[str, StorePlan] = field(default_factory=dict)  # storage domain -> the store that can cut its hosts off
    networks: tuple[str, ...] = (MANAGEMENT,)  # over which hosts are asked themselves; none: no independent signal
    kdump: bool = False  # every daemon listens for crashing kernels (fence_kdump)

    # who comes first
    priority_trust: tuple[str, ...] = ("rules", "flavor", "image", "instance")  # whose word counts, the first that says something
    priority_rules: Mapping[str, str] = field(default_factory=dict)  # PROJECT/NAME (patterns) -> priority, the first that fits
    priority_keys: tuple[str, ...] = ("hanode:priority",)  # looked for in flavor extra specs, image properties and metadata
    opt_in_keys: frozenset[str] = frozenset()  # not empty: only instances that carry one of them as true are restarted elsewhere
    group_key: str = "hanode:group"  # instance metadata
    after_key: str = "hanode:after"  # instance metadata
    tier_wait_s: float = 0.0  # a priority waits for the higher ones to be there, so long at most
    after_wait_s: float = 300.0  # an instance waits for those that it starts after, so long at most
    ready_rules: Mapping[str, str] = field(default_factory=dict)  # PROJECT/NAME (patterns) -> tcp:PORT or a program, the first that fits
    ready_keys: tuple[str, ...] = ("hanode:ready",)  # tcp:PORT in flavor extra specs, image properties and metadata
    ready_networks: tuple[str, ...] = ()  # prefixes of the instances' addresses that the controllers reach; none: no port is asked
    ready_wait_s: float = 120.0  # those that wait for an instance wait so long for its answer once it is active
    repeat_window_s: float = 86400.0  # an instance that ran on two hosts that failed within so long goes last and alone; 0: nobody does
    repeat_limit: int = 3  # on so many, only an operator lets it go; 0: it always goes
    repeat_alone_s: float = 60.0  # so long after it has arrived nothing else is sent to its new host

    # storage
    storage_key: str = "hanode:storage"
    storage_kind_key: str = "hanode:kind"
    cell_key: str = "hanode:cell"  # aggregate metadata: hosts with different values are in different cells of Nova
    pci_key: str = "hanode:pci:"  # aggregate metadata: with a PCI alias behind it, how many such devices each host has
    domains: Mapping[str, StorageDomain] = field(default_factory=dict)  # host -> domain, over the metadata
    join_s: float = 600.0  # so long after a host has come to its domain no disk is looked for there
    health_checked: frozenset[str] = frozenset()  # storage domains with a health command
    health_every_s: float = 10.0
    health_timeout_s: float = 10.0

    # detection, seconds on the leader's own clock
    restart_agent: bool = False  # a command that starts a silent nova-compute again is configured
    report_interval_s: float = 10.0
    suspect_after_s: float = 15.0
    suspect_at_most_s: float = 25.0  # of a host that reports irregularly
    fence_after_s: float = 60.0
    kdump_fence_after_s: float = float("inf")  # the same of a host whose kernel has said that it crashes, if that is sooner
    office_hold_s: float = 20.0
    poll_s: float = 3.3

    # brake
    brake_hosts: int = 2
    brake_percent: float = 20.0
    storm_window_s: float = 600.0
    failure_domain_keys: frozenset[str] = frozenset({"rack"})  # aggregate metadata whose values name what hosts share

    # fencing
    max_fencing: int = 4
    fence_attempts: int = 3
    fence_backoff_s: float = 10.0
    fence_timeout_s: float = 30.0
    fence_settle_s: float = 30.0
    reading_gap_s: float = 2.0
    proof_s: float = 10.0
    kdump_wait_s: float = 120.0  # so long a power-off waits for a crash dump
    check_every_s: float = 3600.0  # 0: the power devices are not checked without need

    # evacuation
    max_evacuations: int = 128
    max_per_target: int = 10
    max_per_domain: int = 64
    evacuate_attempts: int = 3
    retry_s: float = 10.0
    repost_settle_s: float = 120.0
    hard_deadline_s: float = 2400.0
    restore_deadline_s: float = 300.0
    follow_s: float = 1.0
    stopped_first: bool = False  # all disks are moved before anything is started, in strict order
    home_watch_s: float = 180.0
    named_s: float = 600.0
    boot_s: float = 900.0

    # maintenance
    max_migrations: int = 4
    max_migrations_per_host: int = 2
    cold_migration: str = "stopped"  # none | stopped | all
    failback: str = "never"  # never | offer | auto
    failback_after_s: float = 600.0  # auto: after so long in service without a fault

    # capacity: what the cloud is meant to survive
    capacity_failures: int = 0
    capacity_racks: bool = False
    capacity_free_percent: float = 0.0
    capacity_dedicated: frozenset[str] = frozenset()
    capacity_every_s: float = 900.0

    # spares: hosts kept in reserve, disabled until they are needed
    spare_key: str = "hanode:spare"  # aggregate metadata: true for hosts in reserve
    spare_reason: str = ""  # or: a word in the reason for which they are disabled; "": no word says so

    # office
    lease_ttl_s: float = 15.0
    hand_over_after_s: float = 30.0
    http_timeout_s: float = 30.0
    accept_lag_s: float = 60.0

    @property
    def ears(self) -> tuple[str, ...]:
        """Whatever a host can be heard on, by us and by the witnesses."""
        return (*self.networks, KDUMP) if self.kdump else self.networks

    def mode_of(self, host: Host) -> str:
        return _of_aggregates(host, self.mode_by_aggregate) or self.mode

    def recovery_of(self, host: Host) -> str:
        return _of_aggregates(host, self.recovery_by_aggregate) or self.recovery

    def plan_of(self, host: str) -> FencePlan:
        """A host's own plan wins over a pattern, and among patterns the first."""
        found = self._plans.get(host)
        if found is None:
            found = self._plans[host] = self._plan_of(host)
        return found

    @once
    def _plans(self) -> dict[str, FencePlan]:
        """Filled as they are asked for: of ten thousand hosts, each few seconds."""
        return {}

    def _plan_of(self, host: str) -> FencePlan:
        if host in self.fence_plans:
            return self.fence_plans[host]
        if host in self.fenceable:
            return ONE_DEVICE
        return next((plan for pattern, plan in self.fence_plans.items() if fnmatchcase(host, pattern)), NO_DEVICE)

    def domain_of(self, host: Host) -> StorageDomain | None:
        """The declared storage domain of a host; hanode.conf wins over aggregate metadata.

        Its kind stands beside its name: what another aggregate says is of another store.
        """
        if host.name in self.domains:
            return self.domains[host.name]
        told = next((a.metadata for a in host.aggregates if a.metadata.get(self.storage_key)), None)
        return StorageDomain(told[self.storage_key], told.get(self.storage_kind_key) or "file") if told else None

    def in_reserve(self, host: Host) -> bool:
        """Is it disabled to be enabled when nothing else fits? Never one that we, or libvirt itself, have disabled."""
        service = host.service
        if service.status != "disabled" or service.disabled_reason.startswith((MARKER, "AUTO: ")):
            return False
        by_word = bool(self.spare_reason) and self.spare_reason in service.disabled_reason
        return by_word or (host.metadata(self.spare_key) or "").strip().lower() in TRUE

    def brake_limit(self, protected: int) -> int:
        """So many hosts may be suspect or in recovery at once: max(brake_hosts, brake_percent of the protected)."""
        return max(self.brake_hosts, int(protected * self.brake_percent / 100))


def _of_aggregates(host: Host, table: Mapping[str, str]) -> str | None:
    return next((table[a.name] for a in host.aggregates if a.name in table), None) if table else None


def problems(policy: Policy) -> tuple[str, ...]:
    """Every inequality between the timings that does not hold, as a sentence with its remedy; empty is good.

    - A deposed leader's last POST can arrive until its lease ended (lease_ttl_s), its HTTP call gave up
      (http_timeout_s) and Nova wrote the record (accept_lag_s). Only after that does "no record" prove "no post".
    - A heartbeat comes each report_interval_s; suspecting before one and a half of them suspects healthy hosts.
    - office_hold_s must let every living host beat twice before anything can be judged by silence.
    - Proof must be renewable: two readings reading_gap_s apart have to fit into proof_s.
    """
    p = policy
    rules = (
        (
            p.repost_settle_s >= p.lease_ttl_s + p.http_timeout_s + p.accept_lag_s,
            "repost_settle_s must be at least lease_ttl_s + http_timeout_s + accept_lag_s: raise repost_settle_s",
        ),
        (p.suspect_after_s >= 1.2 * p.report_interval_s, "suspect_after_s must be at least 1.2 x report_interval_s: raise suspect_after_s"),
        (
            p.fence_after_s >= 2 * p.report_interval_s and p.fence_after_s >= p.suspect_after_s,
            "fence_after_s must be at least 2 x report_interval_s and not below suspect_after_s: raise fence_after_s",
        ),
        (
            p.kdump_fence_after_s >= 2 * p.report_interval_s and p.kdump_fence_after_s >= p.suspect_after_s,
            "kdump_fence_after_s must be at least 2 x report_interval_s and not below suspect_after_s: raise kdump_fence_after_s",
        ),
        (p.office_hold_s >= 2 * p.report_interval_s, "office_hold_s must be at least 2 x report_interval_s: raise office_hold_s"),
        (p.poll_s <= p.report_interval_s / 2, "poll_s must be at most half of report_interval_s: lower poll_s"),
        (p.proof_s >= p.reading_gap_s, "proof_s must not be below reading_gap_s: raise proof_s"),
        (p.hard_deadline_s > p.repost_settle_s, "hard_deadline_s must exceed repost_settle_s: raise hard_deadline_s"),
        (p.mode in {"observe", "approve", "act"}, "mode must be observe, approve or act"),
        (set(p.mode_by_aggregate.values()) <= {"observe", "approve", "act"}, "every mode_by_aggregate must be observe, approve or act"),
        (p.recovery in {"evacuate", "restart", "none"}, "recovery must be evacuate, restart or none"),
        (
            set(p.recovery_by_aggregate.values()) <= {"evacuate", "restart", "none"},
            "every recovery_by_aggregate must be evacuate, restart or none",
        ),
        (p.cold_migration in {"none", "stopped", "all"}, "cold_migration must be none, stopped or all"),
        (p.repeat_limit != 1, "repeat_limit must be 0 or at least 2: each failure has a first one"),
        (p.failback in {"never", "offer", "auto"}, "failback must be never, offer or auto"),
        (p.release in {"operator", "auto"}, "release must be operator or auto"),
        (all(d.kind in {"rbd", "file"} for d in p.domains.values()), "a storage domain's kind must be rbd or file"),
    )
    return tuple(text for holds, text in rules if not holds)
