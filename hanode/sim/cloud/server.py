"""How does a simulated world become a cloud that real clients can talk to? Every service on a port of loopback."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hanode.sim.cloud import keystone as identity
from hanode.sim.cloud import redfish
from hanode.sim.cloud.control import Control
from hanode.sim.cloud.glance import GlanceApi
from hanode.sim.cloud.http import HttpServer, Request, Response, find
from hanode.sim.cloud.ironic import IronicApi
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.cloud.neutron import NeutronApi
from hanode.sim.cloud.nova import NovaApi
from hanode.sim.cloud.placement import PlacementApi
from hanode.sim.cloud.probes import ProbeListeners
from hanode.sim.cloud.redfish import RedfishApi
from hanode.sim.world import Part, World


@dataclass(frozen=True)
class Urls:
    keystone: str
    nova: str
    placement: str
    glance: str
    neutron: str
    redfish: str
    control: str


class EmbeddedCloud:
    """Between `start` and `stop` the world belongs to this class: look at it through `live.run` only."""

    def __init__(self, world: World, speed: float = 1.0, page_size: int = 1000, token_ttl_s: float = 3600.0,
                 port: int = 0, probe_port: int = 0) -> None:
        self.live = LiveWorld(world, speed)
        self._world = world
        self._keystone = Keystone(token_ttl_s)
        self._control = Control(self.live, self._keystone)
        self._nova = NovaApi(self.live, self._keystone, page_size)
        self._placement = PlacementApi(self.live, self._keystone)
        self._neutron = NeutronApi(self.live, self._keystone)
        self._glance = GlanceApi(self.live, self._keystone)
        self.ironic = IronicApi(self.live, self._keystone)
        self._port = port
        self._probe_port = probe_port
        self._servers: list[HttpServer] = []
        self._probes: ProbeListeners | None = None

    def start(self) -> Urls:
        """`port` is Keystone's and the control's; the other services take free ones."""
        front = self._serve(HttpServer(self._answer_front, port=self._port))
        nova = self._serve(HttpServer(self._nova.answer))
        placement = self._serve(HttpServer(self._placement.answer))
        baremetal = self._serve(HttpServer(self.ironic.answer))
        self.ironic.url = baremetal.url
        bmcs = self._serve(HttpServer(RedfishApi(self.live).answer))
        self.urls = Urls(f"{front.url}/identity/v3", f"{nova.url}/v2.1", placement.url, f"{front.url}/image", f"{front.url}/network",
                         bmcs.url, f"{front.url}/control")
        self._keystone.url = self.urls.keystone
        self._keystone.catalog = {"compute": self.urls.nova, "placement": self.urls.placement, "image": self.urls.glance,
                                  "baremetal": f"{baremetal.url}/v1"}
        self._probes = ProbeListeners(self._probe_addresses(), self._probe_port)
        self.live.watch(lambda: self._follow(nova, placement))
        self._keystone.catalog = {**self._keystone.catalog, "network": self.urls.neutron}
        self.live.start()
        return self.urls

    def stop(self) -> None:
        self.live.stop()
        for server in self._servers:
            server.stop()
        if self._probes is not None:
            self._probes.stop()

    @property
    def credentials(self) -> dict[str, Any]:
        """The options of group [keystone]."""
        return {"auth_url": self.urls.keystone, "username": identity.USER, "password": identity.PASSWORD,
                "project": identity.PROJECT, "region": identity.REGION, "interface": "public"}

    @property
    def probe_port(self) -> int:
        """Probe with kind tcp, this port and the banner "SSH-2.0"; a dead host is silent there."""
        return self._probes.port if self._probes is not None else 0

    def fencing_yaml(self) -> str:
        return redfish.fencing_yaml(self.urls.redfish, self.live.run(lambda world: sorted(world.bmcs)))

    def expire_tokens(self) -> None:
        self._keystone.expire_tokens()

    def _serve(self, server: HttpServer) -> HttpServer:
        self._servers.append(server)
        return server

    def _answer_front(self, request: Request) -> Response:
        if request.path.startswith("/image/"):
            return self._glance.answer(request)
        if request.path.startswith("/network/"):
            return self._neutron.answer(request)
        return find((*self._keystone.routes, *self._control.routes), request)

    def _probe_addresses(self) -> dict[str, str]:
        """Hosts with an address on loopback; others cannot be had on one machine."""
        return {host.name: host.host_ip for host in self._world.hosts.all() if ipaddress.ip_address(host.host_ip).is_loopback}

    def _follow(self, nova: HttpServer, placement: HttpServer) -> None:
        """What is down refuses connections; who is dead does not answer probes."""
        answering, up = self.live.run(lambda world: (
            frozenset(host.name for host in world.hosts.all() if host.answers),
            {part: world.control.is_up(part) for part in (Part.API, Part.PLACEMENT)}))
        if self._probes is not None:
            self._probes.answering = answering
        for server, part in ((nova, Part.API), (placement, Part.PLACEMENT)):
            # The port may be somebody else's for a moment: the next tick tries again.
            with suppress(OSError):
                server.open() if up[part] else server.close()
