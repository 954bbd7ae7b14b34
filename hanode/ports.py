"""What does the engine need of the outside world? One Protocol per neighbour; the simulator implements the same.

Every method says what is atomic and what may be repeated. Implementations raise only the errors of `hanode.errors`:
Refused and Unreachable promise that nothing happened, Ambiguous promises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hanode.core.facts import Access, DeviceCheck, Fleet, Instance, Migration, Power, Resources, ServerGroup, StoreCheck
from hanode.core.model import Call, Moment
from hanode.core.news import News


class Clock(Protocol):
    def now(self) -> Moment:
        """Seconds that do not stop in suspend (CLOCK_BOOTTIME), and UTC as ISO text for people."""
        ...


class Cloud(Protocol):
    """Nova and Placement. Reads may be repeated freely and are complete or raise (never a silent part).

    Reads raise Unreachable or Ambiguous when the service does not answer, Refused when it says no (credentials, policy).
    """

    def identity(self) -> str:
        """Keystone URL and region: which cloud this is. Constant; no network."""
        ...

    def read_fleet(self) -> Fleet:
        """os-services joined with hypervisors and aggregates (these two may be up to a minute old)."""
        ...

    def read_servers(self, host: str) -> tuple[Instance, ...]:
        """Every server of every project that Nova places on this host, all pages, soft-deleted ones left out."""
        ...

    def read_instance(self, instance_id: str) -> Instance | None:
        """One server; None when Nova says that it does not exist (404)."""
        ...

    def read_migrations(self, host: str) -> tuple[Migration, ...]:
        """All migration records with this host as source or target, of any kind and status, all pages."""
        ...

    def read_evacuations(self) -> tuple[Migration, ...]:
        """Every evacuation record of the cloud that is accepted, pre-migrating or done (one status per call: 1.4)."""
        ...

    def read_consumption(self, provider_id: str) -> Mapping[str, Resources]:
        """Placement allocations against this provider, by consumer."""
        ...

    def read_room(self, providers: Mapping[str, str]) -> Mapping[str, Resources]:
        """Host -> free amount of each resource class by Placement: (total - reserved) x ratio - used.

        `providers`: host -> provider id. A host whose provider cannot be read is missing from the answer.
        """
        ...

    def read_groups(self) -> tuple[ServerGroup, ...]:
        """Every server group of every project, all pages, sorted by id."""
        ...

    def read_trait(self, trait: str) -> frozenset[str]:
        """Ids of the compute nodes' providers that have this trait, themselves or in their tree. A trait that nobody knows: none."""
        ...

    def read_dead_agents(self) -> frozenset[str]:
        """Hosts whose L2 agent Neutron calls dead, by the host's name there; none where there is no Neutron."""
        ...

    def read_skip_images(self) -> frozenset[str]:
        """Ids of the images whose instances must never be evacuated (tagged as amphora)."""
        ...

    def read_stopped_by_owner(self, instance_id: str, since: str) -> bool:
        """Did a user (not Nova itself) stop it after Nova's stamp `since`? By its instance actions."""
        ...

    def force_down(self, service_id: str) -> None:
        """Set forced_down; idempotent, may be repeated."""
        ...

    def clear_force_down(self, service_id: str) -> None:
        """Clear forced_down; idempotent. Refused (400) while `done` evacuation records name the host as source."""
        ...

    def disable(self, service_id: str, reason: str) -> None:
        """Disable with a reason; idempotent."""
        ...

    def enable(self, service_id: str) -> None:
        """Enable; idempotent."""
        ...

    def evacuate(self, instance_id: str, target: str, call: Call) -> None:
        """ONE POST, never repeated here. NOT idempotent: Nova accepts a second one and can run the guest twice.

        Refused: Nova said 4xx. Unreachable: the connection was never made. Ambiguous: anything else, and every 5xx.
        """
        ...

    def settle_allocation(self, instance_id: str, provider_id: str) -> None:
        """Leave the instance's allocation in Placement on this provider's tree alone; idempotent.

        Nova's call with a forced host refuses an instance that holds resources on two hosts (conductor "complex
        allocations"), as it does after an evacuation whose source or earlier target has not come back.
        """
        ...

    def lock(self, instance_id: str, reason: str) -> None:
        """Lock as administrator with a reason (2.73); idempotent, does not take a user's lock away."""
        ...

    def unlock(self, instance_id: str) -> None:
        """Unlock; idempotent."""
        ...

    def start(self, instance_id: str) -> None:
        """os-start; Refused (409) when it is not stopped."""
        ...

    def stop(self, instance_id: str) -> None:
        """os-stop; Refused (409) when it is not active."""
        ...

    def live_migrate(self, instance_id: str, target: str) -> None:
        """Move it while it runs, to this host, if the scheduler agrees. Refused (409) while it has a task, or is not active or paused.

        So a repeated request does nothing while the first one runs, and is refused (400) when it is on the target already.
        """
        ...

    def cold_migrate(self, instance_id: str, target: str) -> None:
        """Stop it where it is and start it (if it ran) on this host. Refused while it has a task, or is not active or stopped.

        Ends in vm_state "resized", with the disk at both ends, until it is confirmed.
        """
        ...

    def confirm_migration(self, instance_id: str) -> None:
        """Its former host forgets it. Refused (409) when nothing waits to be confirmed."""
        ...


class Stores(Protocol):
    """The stores that can cut a host off from its disks, by storage domain. Repeating a cut only renews it."""

    def cut(self, domain: str, host: str, for_s: float, abort: Callable[[], bool]) -> None:
        """The host shall write nothing there for so long. Returning means that the store says so once; it is read again for proof.

        `abort` as in `Fencer.power_off`. Refused: the store said no, or does not know the host. Ambiguous: perhaps, or in part.
        """
        ...

    def restore(self, domain: str, host: str, abort: Callable[[], bool]) -> None:
        """Give the host its disks back. Idempotent."""
        ...

    def read(self, domain: str, host: str) -> Access:
        """May the host write there now, by the store's own word? May be repeated. Raises when that could not tell."""
        ...

    def check(self, domain: str, host: str) -> StoreCheck:
        """Would the store obey if it were needed for this host (or any, if it is "")? Changes nothing; never raises."""
        ...


class Fencer(Protocol):
    """The power devices of the hosts, level by level; which level is used is the core's choice, and one call uses one level.

    Repeating an off is safe for an off host and is judged anew each time.
    """

    @property
    def stores(self) -> Stores:
        """For hosts whose power nobody can read."""
        ...

    def hosts(self) -> frozenset[str]:
        """The hosts that are described by name and have a device. No network."""
        ...

    def power_off(self, host: str, abort: Callable[[], bool], level: int = 1) -> None:
        """Ask every device of the level for an immediate power-off. Returning means accepted by all, never that it is off.

        `abort` becomes true when we are deposed: kill what is running and raise Ambiguous. Refused: a device said no
        (wrong login, wrong machine by identity). Unreachable: nothing was delivered. Ambiguous: perhaps, or by some of them.
        """
        ...

    def power_on(self, host: str, abort: Callable[[], bool], level: int = 1) -> None:
        """As power_off, the other way."""
        ...

    def read_power(self, host: str, level: int = 1) -> Power:
        """OFF when every device of the level says exactly off now, ON when any says on. May be repeated.

        Raises when a device cannot be read and none says on: a level is never off by the word of a part of it.
        """
        ...

    def check(self, host: str) -> tuple[DeviceCheck, ...]:
        """Every device of every level read once, with its identity, although nothing is wrong. Switches nothing; may be repeated.

        What is wrong with a device stands in its DeviceCheck. Raises Unreachable when it gave way to a use in earnest.
        """
        ...

    def expect(self, identities: Mapping[str, Mapping[str, str]]) -> None:
        """From now on a device that tells another identity than this is refused (host -> device -> identity). No network.

        What the operator has configured for a device wins; a check tells what it finds either way.
        """
        ...


class Probe(Protocol):
    def answers(self, host: str, host_ip: str, network: str) -> bool:
        """Does the host itself answer over this network, from here? True: it lives. False: silence, which proves nothing alone.

        Raises Unreachable when we ourselves could not look (no address, no route from here).
        For `signals.KDUMP` the question is another: has its kernel said lately that it crashes? True is then no sign of life.
        """
        ...

    def serves(self, address: str, port: int) -> bool:
        """Does an instance take a connection there, from here? Nothing is sent. False: refused, or silence.

        Raises Unreachable when we ourselves could not look.
        """
        ...


class Programs(Protocol):
    """The operator's own programs, as far as he has configured them."""

    def storage_is_well(self, domain: str) -> bool:
        """What the health command of this storage domain says. May be repeated. Raises when that could not tell."""
        ...

    def is_ready(self, rule: str, instance_id: str, address: str) -> bool:
        """What the program of this rule ([priority] ready) says of an instance. May be repeated. Raises when it could not tell."""
        ...

    def restart_agent(self, host: str, host_ip: str, abort: Callable[[], bool]) -> None:
        """Start the silent nova-compute of a living host again. Refused: the command says that it could not.

        `abort` becomes true when we are deposed: kill what is running and raise Ambiguous. Never repeated here.
        """
        ...


@dataclass(frozen=True)
class Entry:
    """A key of the journal. `revision` grows with every change of that key and is never reused."""

    key: str
    value: str
    revision: int


@dataclass(frozen=True)
class Transaction:
    """All or nothing: when every compare holds, every put and delete happens.

    `compares`: key -> revision it must have now; 0 means that the key must not exist.
    """

    compares: Mapping[str, int]
    puts: Mapping[str, str]
    deletes: Sequence[str] = ()


class Journal(Protocol):
    """A small, linearizable key space (keys relative to this cluster's prefix). UTF-8 text, at most 100 keys a transaction."""

    def read(self, prefix: str) -> tuple[Entry, ...]:
        """Every entry under the prefix, by key, at one revision; linearizable (never a stale member's answer)."""
        ...

    def revisions(self, prefix: str) -> Mapping[str, int]:
        """The keys that `read` would show, in its order, each with its revision: what no value is needed for, and costs little."""
        ...

    def commit(self, transaction: Transaction) -> bool:
        """True: it happened. False: some compare did not hold and nothing happened.

        Unreachable: nothing happened. Ambiguous: it may have; read back to learn.
        """
        ...


class Leadership(Protocol):
    """Who may try. For liveness only: safety is the epoch in the journal."""

    def hold(self) -> bool:
        """Acquire the lock, or refresh it if it is ours; True when the other side says it is ours now.

        Never blocks longer than the journal's own timeout. Raises Unreachable or Ambiguous.
        """
        ...

    def resign(self) -> None:
        """Give the lock up at once, so that another need not wait for its lease. Idempotent; never raises."""
        ...


class Notifier(Protocol):
    """Whom to tell: people's tools. Never on the path of a recovery."""

    def tell(self, news: News) -> None:
        """Take it to be delivered later, elsewhere, at least once if the other side answers in time. Never blocks, never raises."""
        ...

    def forget(self) -> None:
        """Office is lost: what was not delivered is left to the next leader, who tells what is open anew."""
        ...


class Executor(Protocol):
    """Where slow calls run. In production a pool of threads; in the simulator virtual time."""

    def submit(self, pool: str, call: Callable[[], None]) -> None:
        """Run `call` soon, in the named pool ("read" | "look" | "ask" | "fence" | "act"). `call` itself never raises."""
        ...
