"""What does the world look like now? Turns the core's wants into reads, and their answers into a Snapshot.

Reads run in the executor, each at most once at a time; a failed one becomes `Unknown` with its reason, never an empty
list, and a late one simply joins a later Snapshot with the age of its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from queue import SimpleQueue

from hanode.core.facts import Fleet, Reading, Unknown
from hanode.core.levels import host_and_level
from hanode.core.model import Want, WantKind
from hanode.core.serving import PROGRAM, from_key, port_of
from hanode.core.signals import network_and_host
from hanode.core.stores import domain_and_host
from hanode.engine.lanes import Lanes
from hanode.errors import HanodeError, Unreachable
from hanode.ports import Clock, Cloud, Executor, Fencer, Probe, Programs

Key = tuple[WantKind, str]
URGENT = frozenset({WantKind.POWER, WantKind.ACCESS, WantKind.PROBE, WantKind.FLEET})
LOOKED = (WantKind.POWER, WantKind.ACCESS, WantKind.STORE, WantKind.PROBE, WantKind.CHECK)
POOL_OF: Mapping[WantKind, str] = {WantKind.SERVES: "ask", **dict.fromkeys(LOOKED, "look")}
"""Dead machines keep whoever asks them waiting until his time is up: nobody who reads Nova waits behind that. And guests that do not
answer keep no proof of death waiting."""

PATIENCE = 1.5
"""A read that takes a second is begun again after one and a half: a third of the time is left to others."""

CHECKS_AT_ONCE = 2
"""So many hosts are checked side by side: the readers are for those who are in trouble."""


def as_before(former: object, value: object) -> object:
    """The same objects as the last reading's where nothing is different: what the core works out of each is then worked out once."""
    if value == former:
        return former
    if isinstance(value, tuple) and isinstance(former, tuple) and len(value) == len(former):
        return tuple(was if was == now else now for was, now in zip(former, value, strict=True))
    return value


class Observer:
    def __init__(
        self,
        cloud: Cloud,
        fencer: Fencer,
        probe: Probe,
        programs: Programs,
        clock: Clock,
        executor: Executor,
        wake: Callable[[], None],
        capacity: Callable[[], object],
    ) -> None:
        self._cloud, self._fencer, self._probe, self._programs = cloud, fencer, probe, programs
        self._capacity = capacity
        self._clock, self._executor, self._wake = clock, executor, wake
        self._readings: dict[Key, Reading[object]] = {}
        self._fleet: Fleet | None = None  # the last one that could be read: only for addresses and ids, which do not age
        self.addresses: Mapping[str, str] = {}  # host -> host_ip, told by who could read it: for hosts that our own inventory lacks
        self._pending: set[Key] = set()
        self._outdated: set[Key] = set()  # of these: what comes back rests on what is not so any more
        self._wants: dict[Key, float] = {}
        self._finished: SimpleQueue[tuple[Key, Reading[object] | None]] = SimpleQueue()
        self._readers = self._all_readers()
        self._checks = Lanes(executor, POOL_OF[WantKind.CHECK], CHECKS_AT_ONCE, self._check)

    def readings(self) -> Mapping[Key, Reading[object]]:
        """The newest reading of everything that is wanted."""
        while not self._finished.empty():
            key, reading = self._finished.get()
            self._pending.discard(key)
            is_outdated = key in self._outdated
            self._outdated.discard(key)
            if reading is None or is_outdated:
                continue  # not wanted any more when its turn came, or resting on what has changed since
            self._readings[key] = reading
            if key[0] is WantKind.FLEET and isinstance(reading.value, Fleet):
                self._fleet = reading.value
        return dict(self._readings)

    def forget(self, kinds: Collection[WantKind]) -> None:
        """Also what is being read at this moment."""
        self._readings = {key: reading for key, reading in self._readings.items() if key[0] not in kinds}
        self._outdated |= {key for key in self._pending if key[0] in kinds}

    def want(self, wants: Iterable[Want], now_s: float) -> float:
        """Begin the reads that are due; when the next one will be. What is not wanted any more is forgotten."""
        self._wants = {(want.kind, want.key): want.every_s for want in wants}
        self._readings = {key: reading for key, reading in self._readings.items() if key in self._wants}
        coming = {key: self._due_s(key) for key in self._wants if key not in self._pending}
        due = sorted(key for key, due_s in coming.items() if due_s <= now_s)
        self._pending.update(due)
        self._checks.queue(key for key in due if key[0] is WantKind.CHECK)
        for key in due:
            if key[0] is not WantKind.CHECK:
                self._begin(key)
        return min((due_s for due_s in coming.values() if due_s > now_s), default=now_s + 60.0)

    def _due_s(self, key: Key) -> float:
        reading = self._readings.get(key)
        if reading is None:
            return float("-inf")
        # What answers slowly is asked less often: flooding Nova is slower than feeding it. Proof of death is not waited for.
        patience = 0.0 if key[0] in URGENT or not self._wants[key] else PATIENCE * (reading.finished_s - reading.started_s)
        return reading.started_s + max(self._wants[key], patience)

    def rest(self) -> None:
        """Nothing is wanted any more: what waits for its turn is not read."""
        self._wants = {}

    def _begin(self, key: Key) -> None:
        def run() -> None:
            self._finish(key)
            self._wake()

        self._executor.submit(POOL_OF.get(key[0], "read"), run)

    def _check(self, key: Key) -> None:
        """Without a word to the tick: it decides by what was told with the next poll of Nova, and nobody is recovered sooner by it."""
        if key in self._wants:
            self._finish(key)
        else:
            self._finished.put((key, None))

    def _finish(self, key: Key) -> None:
        started_s = self._clock.now().s
        try:
            value: object = self._readers[key[0]](key[1])
        except HanodeError as error:
            value = Unknown(str(error))
        except Exception as error:  # noqa: BLE001 - a defect of an adapter must not leave this reading pending for ever
            value = Unknown(f"{type(error).__name__}: {error} (a defect of hanode: report it)")
        former = self._readings.get(key)
        if former is not None:
            value = as_before(former.value, value)
        self._finished.put((key, Reading(value, started_s, self._clock.now().s)))

    def _all_readers(self) -> Mapping[WantKind, Callable[[str], object]]:
        cloud, fencer = self._cloud, self._fencer
        return {
            WantKind.FLEET: lambda _: cloud.read_fleet(),
            WantKind.EVACUATIONS: lambda _: cloud.read_evacuations(),
            WantKind.SERVERS: cloud.read_servers,
            WantKind.INSTANCE: cloud.read_instance,
            WantKind.MIGRATIONS: cloud.read_migrations,
            WantKind.CONSUMPTION: cloud.read_consumption,
            WantKind.ROOM: lambda _: cloud.read_room(self._providers()),
            WantKind.GROUPS: lambda _: cloud.read_groups(),
            WantKind.DEAD_AGENTS: lambda _: cloud.read_dead_agents(),
            WantKind.TRAIT: cloud.read_trait,
            WantKind.CAPACITY: lambda _: self._capacity(),
            WantKind.SKIP_IMAGES: lambda _: cloud.read_skip_images(),
            WantKind.STOPPED_BY_OWNER: lambda key: cloud.read_stopped_by_owner(*key.split("@", 1)),
            WantKind.POWER: lambda key: fencer.read_power(*host_and_level(key)),
            WantKind.CHECK: fencer.check,
            WantKind.ACCESS: lambda key: fencer.stores.read(*domain_and_host(key)),
            WantKind.STORE: lambda key: fencer.stores.check(*domain_and_host(key)),
            WantKind.STORAGE: self._programs.storage_is_well,
            WantKind.PROBE: lambda key: self._answers(*network_and_host(key)),
            WantKind.SERVES: lambda key: self._serves(*from_key(key)),
        }

    def _providers(self) -> Mapping[str, str]:
        if self._fleet is None:
            # An empty question would get an empty answer, which reads as "no host has room".
            raise Unreachable("Nova's hypervisors are not read yet")
        return {name: h.hypervisor.provider_id for name, h in sorted(self._fleet.hosts.items()) if h.hypervisor}

    def _answers(self, network: str, host: str) -> bool:
        return self._probe.answers(host, self._address(host), network)

    def _serves(self, instance_id: str, address: str, check: str) -> bool:
        if check.startswith(PROGRAM):
            return self._programs.is_ready(check.removeprefix(PROGRAM), instance_id, address)
        port = port_of(check)
        if port is None:
            raise Unreachable(f"{check!r} is no check that this version knows")
        return self._probe.serves(address, port)

    def _address(self, host: str) -> str:
        found = self._fleet.hosts.get(host) if self._fleet else None
        return found.hypervisor.host_ip if found and found.hypervisor else self.addresses.get(host, "")

    def fleet(self) -> Fleet | None:
        """The last inventory that could be read, however old: for names only."""
        return self._fleet
