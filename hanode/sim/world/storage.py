"""Does a storage domain answer? While one is sick its guests stand still, and what is begun on it hangs or fails."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanode.sim.world.servers import Server
    from hanode.sim.world.world import World


class Condition(StrEnum):
    """How a storage domain behaves; each value is a sentence for the log."""

    WORKS = "answers again"
    HANGS = "answers nothing: whatever touches it waits"
    FAILS = "answers every request with an error"


class Storage:
    def __init__(self, world: World) -> None:
        self._world = world
        self._sick: dict[str, Condition] = {}

    def become(self, domain: str, condition: Condition) -> None:
        self._sick[domain] = condition
        self._world.record("storage", domain, f"{domain} {condition}")
        self._show_guests(domain, "paused" if condition is Condition.FAILS else "running")
        self._world.hosts.messages_flow_again()

    def condition(self, domain: str) -> Condition:
        return self._sick.get(domain, Condition.WORKS)

    def hangs(self, domains: Iterable[str]) -> bool:
        return any(self._sick.get(domain) is Condition.HANGS for domain in domains)

    def problem(self, host: str, server: Server) -> str:
        """Why it cannot run there on the disks that it has, or nothing."""
        for domain in self._world.hosts.domains_of(host, server):
            if not self._world.disks.exists(domain, server.instance_id):
                return f"DiskNotFound in {domain}"
        return self.failure(host, server)

    def failure(self, host: str, server: Server) -> str:
        cut = [d for d in self._world.hosts.domains_of(host, server) if self._world.cuts.covers(d, host)]
        if cut:
            return f"blocklisted in {cut[0]}"
        sick = [d for d in self._world.hosts.domains_of(host, server) if self._sick.get(d) is Condition.FAILS]
        return f"Input/output error in {sick[0]}" if sick else ""

    def _show_guests(self, domain: str, power_state: str) -> None:
        """libvirt pauses a guest whose disk fails, and Nova goes on calling it active; one whose disk hangs it calls running."""
        for server in self._world.servers.live():
            host = self._world.hosts[server.host]
            guest = host.guests.get(server.instance_id)
            touched = guest is not None and guest.running and domain in self._world.hosts.domains_of(host.name, server)
            if touched and server.vm_state == "active" and self._world.hosts.talks(host.name):
                server.power_state = power_state
