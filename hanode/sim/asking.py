"""How does a simulated daemon ask hosts and guests, and what do the operator's programs say there?"""

from __future__ import annotations

from collections.abc import Callable

from hanode.errors import Ambiguous, Refused
from hanode.sim.node import SimNode
from hanode.sim.world import Condition


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
