"""How does a simulated daemon ask hosts, guests and stores, and what do the operator's programs say there?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hanode.core.facts import Access, StoreCheck
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable
from hanode.sim.node import SimNode
from hanode.sim.world import ApiError, Condition, Down, Hang

T = TypeVar("T")


def translated(request: Callable[[], T]) -> Callable[[], T]:
    """The world's errors in the words of `hanode.errors`, as an adapter must translate those of HTTP."""
    def thunk() -> T:
        try:
            return request()
        except ApiError as error:
            raise (Refused if error.status < 500 else Ambiguous)(str(error)) from error
        except Hang as error:
            raise Ambiguous(str(error)) from error
        except Down as error:
            raise Unreachable(str(error)) from error
    return thunk


class SimProbe:
    def __init__(self, node: SimNode) -> None:
        self._node = node

    def answers(self, host: str, host_ip: str, network: str) -> bool:
        world = self._node.world
        return self._node.call(
            "probe.answers", host,
            lambda: host not in self._node.deaf_to and world.answers(host, host_ip, network),
            self._node.latencies.probe_s,
        )

    def serves(self, address: str, port: int) -> bool:
        world = self._node.world
        return self._node.call("probe.serves", f"{address}:{port}", lambda: world.serves_at(address), self._node.latencies.probe_s)


class SimPrograms:
    """A health command that touches the store, one that asks a guest, and a restart of nova-compute over ssh."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    def storage_is_well(self, domain: str) -> bool:
        def look() -> bool:
            condition = self._node.world.storage.condition(domain)
            if condition is Condition.HANGS:
                raise Ambiguous(f"the health command of {domain} has not answered in time")
            return condition is Condition.WORKS

        return self._node.call("programs.storage_is_well", domain, look, self._node.latencies.probe_s)

    def is_ready(self, rule: str, instance_id: str, address: str) -> bool:
        world, where = self._node.world, f"{rule} {address}".strip()
        return self._node.call("programs.is_ready", where, lambda: world.serves(instance_id), self._node.latencies.probe_s)

    def restart_agent(self, host: str, host_ip: str, abort: Callable[[], bool]) -> None:
        def restart() -> None:
            hosts = self._node.world.hosts
            if not hosts[host].answers:
                raise Refused(f"{host} ({host_ip}) does not let us in")
            hosts.thaw_compute(host)
            hosts.kill_compute(host)
            hosts.start_compute(host)

        if abort():
            raise Ambiguous(f"restart of {host}: given up, we are deposed")
        self._node.call("programs.restart_agent", host, restart, self._node.latencies.fencer_s)


class SimStores:
    """The stores that cut hosts off, as the adapter speaks to them: an order is followed by one look."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    def cut(self, domain: str, host: str, for_s: float, abort: Callable[[], bool]) -> None:
        self._order("cut", host, lambda: self._node.world.cuts.cut(domain, host, for_s), abort)

    def restore(self, domain: str, host: str, abort: Callable[[], bool]) -> None:
        self._order("restore", host, lambda: self._node.world.cuts.restore(domain, host), abort)

    def read(self, domain: str, host: str) -> Access:
        return self._ask("read", host, lambda: self._node.world.cuts.read(domain, host))

    def check(self, domain: str, host: str) -> StoreCheck:  # noqa: ARG002 - this store knows every host
        try:
            return StoreCheck(cut=self._ask("check", domain, lambda: self._node.world.cuts.cut_by(domain)))
        except HanodeError as error:
            return StoreCheck(trouble=str(error))

    def _order(self, verb: str, host: str, request: Callable[[], None], abort: Callable[[], bool]) -> None:
        if abort():
            raise Ambiguous(f"{verb} {host}: given up, we are deposed")
        self._ask(verb, host, request)
        if abort():
            raise Ambiguous(f"{verb} {host}: we were deposed before the answer came")

    def _ask(self, verb: str, subject: str, request: Callable[[], T]) -> T:
        latencies = self._node.latencies
        answer_s = latencies.fencer_s

        def checked() -> T:
            nonlocal answer_s
            try:
                return translated(request)()
            except (Ambiguous, Unreachable):
                answer_s = latencies.fence_timeout_s
                raise

        return self._node.call(f"stores.{verb}", subject, checked, lambda: answer_s)
