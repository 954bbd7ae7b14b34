"""How does neutron-server list its agents?"""

from __future__ import annotations

from typing import Any

from hanode.sim.cloud.http import Request, Response, Route, find
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.cloud.nova import error_body
from hanode.sim.world import World
from hanode.sim.world.ids import uuid_of


class NeutronApi:
    """At /network of the front."""

    def __init__(self, live: LiveWorld, keystone: Keystone) -> None:
        self._live = live
        self._keystone = keystone
        self._routes = (Route("GET", "/network/v2.0/agents", self._agents),)

    def answer(self, request: Request) -> Response:
        self._keystone.require_token(request)
        return find(self._routes, request)

    def _agents(self, _: Request) -> Response:
        rows = self._live.ask(agents, error_body, lambda world: world.control.delay_s)
        return Response(200, {"agents": rows})


def agents(world: World) -> list[dict[str, Any]]:
    dead = world.nova.dead_agents()
    return [
        {"id": uuid_of("agent", f"{binary}@{host.name}"), "agent_type": kind, "binary": binary, "host": host.name,
         "alive": host.lives if binary == "neutron-metadata-agent" else host.name not in dead, "admin_state_up": True}
        for host in world.hosts.all()
        for kind, binary in (("Open vSwitch agent", "neutron-openvswitch-agent"), ("Metadata agent", "neutron-metadata-agent"))
    ]
