"""Which hosts do the stores cut off from their disks? Guests there run on and answer; they write nothing, until they are let again.

An entry may expire while a guest still runs. Nobody has told that guest, so it writes on: the worst that a real client does.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from hanode.core.facts import Access
from hanode.sim.world.control import ApiError, Down, Hang
from hanode.sim.world.disks import Writer

if TYPE_CHECKING:
    from hanode.sim.world.servers import Server
    from hanode.sim.world.world import World

AS_TOLD = "as it was told"


class Manner(StrEnum):
    """How a store behaves when a host is to be cut off; each value is a sentence for the log."""

    OBEYS = "does as it is told"
    REFUSES = "refuses every order, and answers readings"
    SILENT = "cannot be reached by us"
    HUNG = "acts and never answers an order"
    SLOW = "acts some seconds later than others"
    LIES = "accepts orders and carries none out"
    LIES_ONCE = "accepts the next order and does not carry it out"
    KEEPS = "gives no host its disks back"


class Cuts:
    def __init__(self, world: World) -> None:
        self._world = world
        self._until_s: dict[tuple[str, str], float] = {}  # (domain, host) -> when the store forgets it
        self._manner: dict[str, tuple[Manner, float]] = {}
        self.together: dict[str, frozenset[str]] = {}  # domain of a store -> the other domains that lie there as well

    # ---------------------------------------------------------------- asked by a daemon

    def cut(self, domain: str, host: str, for_s: float) -> None:
        """Returning means accepted."""
        manner, seconds = self._listen(domain)
        self._record_command(domain, host)
        if manner is Manner.REFUSES:
            raise ApiError(403, f"the store {domain} refuses to cut {host} off")
        if manner is Manner.LIES_ONCE:
            self._manner.pop(domain)
        if manner not in (Manner.LIES, Manner.LIES_ONCE):
            delay_s = seconds if manner is Manner.SLOW else 0.0
            self._world.after(delay_s, lambda: self._begin(domain, host, for_s), f"cut of {host} by {domain}")
        if manner is Manner.HUNG:
            raise Hang(f"the store {domain} does not answer")

    def restore(self, domain: str, host: str) -> None:
        manner, _ = self._listen(domain)
        if manner in (Manner.REFUSES, Manner.KEEPS):
            raise ApiError(403, f"the store {domain} refuses to give {host} its disks back")
        if manner not in (Manner.LIES, Manner.LIES_ONCE):
            self.forget(domain, host, AS_TOLD)

    def read(self, domain: str, host: str) -> Access:
        self._listen(domain)
        return Access.CUT if (domain, host) in self._until_s else Access.OPEN

    def cut_by(self, domain: str) -> frozenset[str]:
        self._listen(domain)
        return frozenset(host for of, host in self._until_s if of == domain)

    # ---------------------------------------------------------------- what is really so

    def behave(self, domain: str, manner: Manner, seconds: float = 0.0) -> None:
        self._manner[domain] = (manner, seconds)
        self._world.record("store", domain, f"the store {domain} {manner}")

    def obey_again(self) -> None:
        for domain in sorted(self._manner):
            self.behave(domain, Manner.OBEYS)

    def forget(self, domain: str, host: str, why: str) -> None:
        if self._until_s.pop((domain, host), None) is None:
            return
        self._world.record("storage-open", host, f"{host} may write in {domain} again: {why}", domain=domain)
        for server, where in self._guests(domain, host):
            self._world.boots += 1
            self._world.disks.open_writer(where, server.instance_id, Writer(host, self._world.boots, self._world.now_s))

    def covers(self, where: str, host: str) -> bool:
        """May the host not write there?"""
        return any(of == host and where in self._domains(domain) for domain, of in self._until_s)

    def is_husk(self, host: str, server: Server) -> bool:
        """It runs, and has lost every disk: nobody would call that running."""
        if not self._until_s:
            return False
        domains = self._world.hosts.domains_of(host, server)
        return bool(domains) and all(self.covers(domain, host) for domain in domains)

    def _begin(self, domain: str, host: str, for_s: float) -> None:
        news = (domain, host) not in self._until_s
        until_s = self._until_s[domain, host] = self._world.now_s + (for_s or float("inf"))
        if for_s:
            self._world.after(for_s, lambda: self._expire(domain, host), f"end of the cut of {host}")
        self._world.record("storage-cut", host, f"{host} can not write in {domain} until {until_s:.0f} s", domain=domain)
        for server, where in self._guests(domain, host) if news else ():
            self._world.disks.close_writers(server.instance_id, host, self._world.now_s, where)

    def _expire(self, domain: str, host: str) -> None:
        if self._until_s.get((domain, host), float("inf")) <= self._world.now_s:
            self.forget(domain, host, "nobody has renewed it")

    def _guests(self, domain: str, host: str) -> Iterator[tuple[Server, str]]:
        for instance_id, guest in sorted(self._world.hosts[host].guests.items()):
            server = self._world.servers.by_id[instance_id]
            for where in self._world.hosts.domains_of(host, server) if guest.running else ():
                if where in self._domains(domain):
                    yield server, where

    def _domains(self, domain: str) -> frozenset[str]:
        return self.together.get(domain, frozenset()) | {domain}

    def _listen(self, domain: str) -> tuple[Manner, float]:
        manner = self._manner.get(domain, (Manner.OBEYS, 0.0))
        if manner[0] is Manner.SILENT:
            raise Down(f"the store {domain} cannot be reached")
        return manner

    def _record_command(self, domain: str, host: str) -> None:
        """With the truth about the host at this moment, for the judge of S4."""
        found, now_s = self._world.hosts[host], self._world.now_s
        self._world.record(
            "cut-command", host, f"the store {domain} is told to cut {host} off", domain=domain, powered="on" if found.powered else "off",
            answers=str(found.answers), beat_age_s=f"{now_s - found.beat_s:.3f}", beating_for_s=f"{now_s - found.beating_since_s:.3f}",
        )
