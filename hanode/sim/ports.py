"""How does a simulated daemon reach its neighbours? The ports of `hanode.ports` over a World, one set per node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from hanode.core.facts import Aggregate, DeviceCheck, Fleet, Host, Hypervisor, Instance, Migration, Power, Resources, ServerGroup
from hanode.core.levels import said_by_all
from hanode.core.model import Call
from hanode.core.policy import ONE_DEVICE
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable, in_part
from hanode.ports import Entry, Journal, Transaction
from hanode.sim.asking import SimStores, translated
from hanode.sim.executor import Crash, SimExecutor
from hanode.sim.node import Injection, Latencies, PortCall, SimClock, SimNode
from hanode.sim.world import ApiError, Bmc, Hang
from hanode.sim.world.nova import HANODE

__all__ = [
    "Commit", "Crash", "Injection", "Latencies", "OfficeLock", "PortCall", "SimClock", "SimCloud", "SimExecutor", "SimFencer",
    "SimJournal", "SimLeadership", "SimNode",
]

T = TypeVar("T")
Inventory = tuple[Mapping[str, Hypervisor], Mapping[str, tuple[Aggregate, ...]]]
INVENTORY_AGE_S = 60.0


class SimCloud:
    def __init__(self, node: SimNode) -> None:
        self._node = node
        self._nova, self._moves = node.world.nova, node.world.moves
        self._inventory: tuple[float, Inventory] | None = None  # as the adapter keeps it, and when it was read

    def identity(self) -> str:
        return "https://sim.example/identity RegionOne"

    # ---------------------------------------------------------------- reads

    def read_fleet(self) -> Fleet:
        return self._ask("read_fleet", "", self._fleet)

    def _fleet(self) -> Fleet:
        services = self._nova.services()
        hypervisors, aggregates = self._read_inventory()
        return Fleet(
            hosts={
                s.host: Host(s.host, s, hypervisors.get(s.host), aggregates.get(s.host, ()))
                for s in services if s.binary == "nova-compute"
            },
            control=tuple(s for s in services if s.binary != "nova-compute"),
        )

    def _read_inventory(self) -> Inventory:
        """At most a minute old, by the contract of the port."""
        now_s = self._node.clock_s
        if self._inventory is None or now_s - self._inventory[0] > INVENTORY_AGE_S:
            hypervisors = {hypervisor.host: hypervisor for hypervisor in self._nova.hypervisors()}
            self._inventory = (now_s, (hypervisors, _by_host(self._nova.aggregates())))
        return self._inventory[1]

    def read_servers(self, host: str) -> tuple[Instance, ...]:
        return self._ask("read_servers", host, lambda: self._nova.servers(host))

    def read_instance(self, instance_id: str) -> Instance | None:
        def request() -> Instance | None:
            try:
                return self._nova.server(instance_id)
            except ApiError as error:
                if error.status == 404:
                    return None
                raise
        return self._ask("read_instance", instance_id, request)

    def read_migrations(self, host: str) -> tuple[Migration, ...]:
        return self._ask("read_migrations", host, lambda: self._nova.migrations(host))

    def read_evacuations(self) -> tuple[Migration, ...]:
        return self._ask("read_evacuations", "", lambda: tuple(
            record for status in ("accepted", "pre-migrating", "done") for record in self._nova.evacuations(status)))

    def read_consumption(self, provider_id: str) -> Mapping[str, Resources]:
        return self._ask("read_consumption", provider_id, lambda: self._nova.allocations(provider_id))

    def read_room(self, providers: Mapping[str, str]) -> Mapping[str, Resources]:
        def request() -> Mapping[str, Resources]:
            rooms: dict[str, Resources] = {}
            for host in sorted(providers):
                try:
                    rooms[host] = self._nova.room(providers[host])
                except ApiError:
                    continue  # left out, by the contract of the port
            return rooms
        return self._ask("read_room", ",".join(sorted(providers)), request)

    def read_groups(self) -> tuple[ServerGroup, ...]:
        return self._ask("read_groups", "", self._nova.groups)

    def read_trait(self, trait: str) -> frozenset[str]:
        return self._ask("read_trait", trait, lambda: self._nova.providers_with(trait))

    def read_dead_agents(self) -> frozenset[str]:
        return self._ask("read_dead_agents", "", self._nova.dead_agents)

    def read_skip_images(self) -> frozenset[str]:
        return self._ask("read_skip_images", "", lambda: self._nova.image_ids("amphora"))

    def read_stopped_by_owner(self, instance_id: str, since: str) -> bool:
        def request() -> bool:
            return any(
                action.name == "stop" and action.user not in (None, "hanode") and self._node.world.stamp(action.time_s) > since
                for action in self._nova.actions(instance_id)
            )
        return self._ask("read_stopped_by_owner", instance_id, request)

    # ---------------------------------------------------------------- writes

    def force_down(self, service_id: str) -> None:
        self._ask("force_down", service_id, lambda: self._nova.set_forced_down(service_id, True))

    def clear_force_down(self, service_id: str) -> None:
        self._ask("clear_force_down", service_id, lambda: self._nova.set_forced_down(service_id, False))

    def disable(self, service_id: str, reason: str) -> None:
        self._ask("disable", service_id, lambda: self._nova.disable(service_id, reason))

    def enable(self, service_id: str) -> None:
        self._ask("enable", service_id, lambda: self._nova.enable(service_id))

    def evacuate(self, instance_id: str, target: str, call: Call) -> None:
        self._ask("evacuate", instance_id, lambda: self._nova.evacuate(instance_id, target, call))

    def settle_allocation(self, instance_id: str, provider_id: str) -> None:
        self._ask("settle_allocation", instance_id, lambda: self._nova.settle_allocation(instance_id, provider_id))

    def lock(self, instance_id: str, reason: str) -> None:
        self._ask("lock", instance_id, lambda: self._nova.lock(instance_id, reason))

    def unlock(self, instance_id: str) -> None:
        self._ask("unlock", instance_id, lambda: self._nova.unlock(instance_id))

    def start(self, instance_id: str) -> None:
        self._ask("start", instance_id, lambda: self._nova.start(instance_id))

    def stop(self, instance_id: str) -> None:
        self._ask("stop", instance_id, lambda: self._nova.stop(instance_id))

    def live_migrate(self, instance_id: str, target: str) -> None:
        self._ask("live_migrate", instance_id, lambda: self._moves.live_migrate(instance_id, target, user=HANODE))

    def cold_migrate(self, instance_id: str, target: str) -> None:
        self._ask("cold_migrate", instance_id, lambda: self._moves.migrate(instance_id, target, user=HANODE))

    def confirm_migration(self, instance_id: str) -> None:
        self._ask("confirm_migration", instance_id, lambda: self._moves.confirm(instance_id, user=HANODE))

    def _ask(self, verb: str, subject: str, request: Callable[[], T]) -> T:
        """One request; an answer that takes longer than our timeout is no answer, although it took effect."""
        latencies, control = self._node.latencies, self._node.world.control
        answer_s = latencies.cloud_s

        def in_time() -> T:
            nonlocal answer_s
            try:
                result = translated(request)()
            except Ambiguous as error:
                if isinstance(error.__cause__, Hang):
                    answer_s = latencies.http_timeout_s
                raise
            answer_s = min(latencies.cloud_s + control.delay_s, latencies.http_timeout_s)
            if control.delay_s >= latencies.http_timeout_s:
                raise Ambiguous(f"{verb} {subject}: no answer within {latencies.http_timeout_s:g} s")
            return result

        return self._node.call(f"cloud.{verb}", subject, in_time, lambda: answer_s)


def _by_host(aggregates: Iterable[Aggregate]) -> Mapping[str, tuple[Aggregate, ...]]:
    found: dict[str, tuple[Aggregate, ...]] = {}
    for aggregate in aggregates:
        for host in sorted(aggregate.hosts):
            found[host] = (*found.get(host, ()), aggregate)
    return found


class SimFencer:
    """`without`: hosts that have no power device as far as this daemon is configured."""

    def __init__(self, node: SimNode, without: frozenset[str] = frozenset()) -> None:
        self._node = node
        self._without = without
        self._identities: Mapping[str, Mapping[str, str]] = {}
        self.stores = SimStores(node)

    def hosts(self) -> frozenset[str]:
        return frozenset(self._node.world.bmcs) - self._without

    def power_off(self, host: str, abort: Callable[[], bool], level: int = 1) -> None:
        self._command("power_off", host, lambda: self._order(host, level, Bmc.power_off), abort)

    def power_on(self, host: str, abort: Callable[[], bool], level: int = 1) -> None:
        self._command("power_on", host, lambda: self._order(host, level, Bmc.power_on), abort)

    def read_power(self, host: str, level: int = 1) -> Power:
        return self._ask("read_power", host, lambda: self._read(host, level))

    def check(self, host: str) -> tuple[DeviceCheck, ...]:
        plan = self._node.world.fence_plans().get(host, ONE_DEVICE)
        devices = [(level, device) for level in range(1, len(plan.levels) + 1) for device in self._node.world.level(host, level)]
        numbered = [(level, f"device {number}", device) for number, (level, device) in enumerate(devices, 1)]
        return self._ask("check", host, lambda: tuple(_checked(*each) for each in numbered))

    def expect(self, identities: Mapping[str, Mapping[str, str]]) -> None:
        self._identities = identities

    def _require_identity(self, host: str, device: Bmc) -> None:
        expected = set(self._identities.get(host, {}).values())
        if device.identity and expected and device.identity not in expected:
            raise Refused(f"the power device of {host} belongs to another machine")

    def _order(self, host: str, level: int, order: Callable[[Bmc], None]) -> None:
        done: list[str] = []
        for number, device in enumerate(self._node.world.level(host, level), 1):
            try:
                self._require_identity(host, device)
                translated(partial(order, device))()
            except HanodeError as error:
                raise in_part(error, done) from error
            done.append(f"device {number}")

    def _read(self, host: str, level: int) -> Power:
        said: list[Power | None] = []
        unread: HanodeError | None = None
        for device in self._node.world.level(host, level):
            try:
                self._require_identity(host, device)
                said.append(translated(device.read)())
            except HanodeError as error:
                said.append(None)
                unread = unread or error
        together = said_by_all(said)
        if together is None:
            raise unread or Refused(f"level {level} of {host} has no device")
        return together

    def _command(self, verb: str, host: str, request: Callable[[], None], abort: Callable[[], bool]) -> None:
        if abort():
            raise Ambiguous(f"{verb} {host}: given up, we are deposed")
        self._ask(verb, host, request)
        if abort():
            raise Ambiguous(f"{verb} {host}: we were deposed before the answer came")

    def _ask(self, verb: str, host: str, request: Callable[[], T]) -> T:
        latencies = self._node.latencies
        answer_s = latencies.fencer_s

        def checked() -> T:
            nonlocal answer_s
            if host not in self.hosts():
                raise Refused(f"{host} has no power device")
            try:
                return request()
            except (Ambiguous, Unreachable):
                answer_s = latencies.fence_timeout_s
                raise

        return self._node.call(f"fencer.{verb}", host, checked, lambda: answer_s)


def _checked(level: int, name: str, device: Bmc) -> DeviceCheck:
    try:
        return DeviceCheck(level, name, power=translated(device.read)(), identity=device.identity)
    except HanodeError as error:
        refused = isinstance(error.__cause__, ApiError) and error.__cause__.status == 401
        return DeviceCheck(level, name, trouble=str(error), login_refused=refused)


# --------------------------------------------------------------------------- coordination


@dataclass(frozen=True)
class Commit:
    """One transaction that a node sent to the journal, and whether it happened."""

    time_s: float
    node: str
    transaction: Transaction
    happened: bool


class SimJournal:
    """Any journal behind a node's gate; every commit that reached it is appended to `commits`, for the judge of S5."""

    def __init__(self, node: SimNode, inner: Journal, commits: list[Commit]) -> None:
        self._node = node
        self._inner = inner
        self._commits = commits

    def read(self, prefix: str) -> tuple[Entry, ...]:
        return self._node.call("journal.read", prefix, lambda: self._inner.read(prefix))

    def revisions(self, prefix: str) -> Mapping[str, int]:
        return self._node.call("journal.read", prefix, lambda: self._inner.revisions(prefix))

    def commit(self, transaction: Transaction) -> bool:
        def send() -> bool:
            happened = self._inner.commit(transaction)
            self._commits.append(Commit(self._node.world.now_s, self._node.name, transaction, happened))
            return happened
        return self._node.call("journal.commit", ",".join((*transaction.puts, *transaction.deletes)), send)


@dataclass
class OfficeLock:
    """The lock of the coordination service: gone when its holder has not refreshed it for `ttl_s`."""

    ttl_s: float = 15.0
    holder: str = ""
    refreshed_s: float = field(default=float("-inf"))

    def hold(self, who: str, now_s: float) -> bool:
        if self.holder != who and self.holder and now_s - self.refreshed_s <= self.ttl_s:
            return False
        self.holder, self.refreshed_s = who, now_s
        return True

    def release(self, who: str) -> None:
        if self.holder == who:
            self.holder = ""


class SimLeadership:
    """A process that was restarted is another candidate: it waits for the lease of its own former life."""

    def __init__(self, node: SimNode, lock: OfficeLock) -> None:
        self._node = node
        self._lock = lock
        self._who = f"{node.name}/{node.boots}"

    def hold(self) -> bool:
        return self._node.call("lock.hold", self._who, lambda: self._lock.hold(self._who, self._node.world.now_s))

    def resign(self) -> None:
        try:
            self._node.call("lock.resign", self._who, lambda: self._lock.release(self._who))
        except HanodeError:
            return  # by contract it never raises: the lease ends by itself
