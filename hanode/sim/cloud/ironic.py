"""How does Ironic answer for the hosts' nodes? Its database, its conductors' power actions and their sweep, as far as a fencer meets them.

As in life (ironic conductor/utils.py `node_power_action`, conductor/manager.py `_sync_power_states`): a GET shows the database, an
order is accepted with 202 and followed by the conductor, which asks the machine first; a sweep corrects the database now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hanode.core.facts import Power
from hanode.sim.cloud.http import HttpError, Request, Response, Route, find
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.world import ApiError, Bmc, Down, Hang, World
from hanode.sim.world.ids import uuid_of

SYNC_S = 60.0
POLL_S = 1.0
PATIENCE_S = 60.0  # [conductor] power_state_change_timeout
CONDUCTOR = "conductor-1"
TARGETS = {"power on": Power.ON, "power off": Power.OFF}
STATES = {power: text for text, power in TARGETS.items()}
ORDERS: dict[Power, Callable[[Bmc], None]] = {Power.ON: Bmc.power_on, Power.OFF: Bmc.power_off}


@dataclass
class Node:
    """One row of the database."""

    host: str
    power_state: str = "power on"
    target_power_state: str | None = None
    last_error: str | None = None
    reservation: str | None = None
    maintenance: bool = False
    maintenance_reason: str | None = None
    orders: int = 0  # accepted ones

    @property
    def uuid(self) -> str:
        return node_uuid(self.host)

    def body(self) -> dict[str, Any]:
        shown = ("power_state", "target_power_state", "last_error", "reservation", "maintenance", "maintenance_reason")
        return {"uuid": self.uuid, "name": self.host, "instance_uuid": uuid_of("metal", self.host), "fault": None,
                **{name: getattr(self, name) for name in shown}}


def node_uuid(host: str) -> str:
    return uuid_of("node", host)


class IronicApi:
    def __init__(self, live: LiveWorld, keystone: Keystone) -> None:
        self._live, self._keystone = live, keystone
        self.url = ""
        self.nodes: dict[str, Node] = live.run(lambda world: {host: Node(host) for host in sorted(world.bmcs)})
        live.run(self._sweep_later)
        self._routes = (
            Route("GET", "/v1", self._version),
            Route("GET", "/v1/nodes/([^/]+)", lambda _, ident: Response(200, self._live.run(lambda __: self._node(ident).body()))),
            Route("PUT", "/v1/nodes/([^/]+)/states/power", self._power),
            Route("PUT", "/v1/nodes/([^/]+)/maintenance", self._maintain),
            Route("DELETE", "/v1/nodes/([^/]+)/maintenance", self._maintain),
        )

    def answer(self, request: Request) -> Response:
        if request.path != "/v1":
            self._keystone.require_token(request)
        return find(self._routes, request)

    def _version(self, _: Request) -> Response:
        link = {"rel": "self", "href": f"{self.url}/v1/"}
        return Response(200, {"version": {"id": "v1", "status": "CURRENT", "min_version": "1.1", "version": "1.90", "links": [link]}})

    def _node(self, ident: str) -> Node:
        found = next((node for node in self.nodes.values() if ident in (node.host, node.uuid)), None)
        if found is None:
            raise HttpError(Response(404, error_body(404, f"Node {ident} could not be found.")))
        return found

    def _maintain(self, request: Request, ident: str) -> Response:
        def mark(_: World) -> None:
            node, on = self._node(ident), request.method == "PUT"
            node.maintenance, node.maintenance_reason = on, (request.body or {}).get("reason") if on else None

        self._live.run(mark)
        return Response(202)

    def _power(self, request: Request, ident: str) -> Response:
        target = TARGETS.get(str(request.body.get("target")) if isinstance(request.body, dict) else "")
        if target is None:
            raise HttpError(Response(400, error_body(400, "Invalid target power state")))
        self._live.ask(lambda world: self._begin(world, self._node(ident), target), error_body)
        return Response(202)

    def _begin(self, world: World, node: Node, target: Power) -> None:
        if node.reservation is not None:
            raise ApiError(409, f"Node {node.uuid} is locked by host {node.reservation}, please retry after the current operation")
        node.orders += 1
        node.reservation, node.target_power_state, node.last_error = CONDUCTOR, STATES[target], None
        world.after(POLL_S, lambda: self._act(world, node, target), f"power action {node.host}")

    def _act(self, world: World, node: Node, target: Power) -> None:
        """The conductor asks the machine before it does anything."""
        device = world.bmcs[node.host]
        try:
            if device.read() is not target:
                ORDERS[target](device)
        except (ApiError, Down, Hang) as error:
            self._end(node, f"Failed to change power state to '{STATES[target]}': {error}")
            return
        self._wait(world, node, target, world.now_s + PATIENCE_S)

    def _wait(self, world: World, node: Node, target: Power, until_s: float) -> None:
        try:
            reached = world.bmcs[node.host].read() is target
        except (ApiError, Down, Hang):
            reached = False
        if reached:
            node.power_state = STATES[target]
            self._end(node)
        elif world.now_s >= until_s:
            self._end(node, f"Failed to change power state to '{STATES[target]}': timeout")
        else:
            world.after(POLL_S, lambda: self._wait(world, node, target, until_s), f"power action {node.host}")

    @staticmethod
    def _end(node: Node, error: str | None = None) -> None:
        node.reservation, node.target_power_state, node.last_error = None, None, error

    def _sweep_later(self, world: World) -> None:
        world.after(SYNC_S, lambda: self._sweep(world), "sync_power_states")

    def _sweep(self, world: World) -> None:
        """With force_power_state_during_sync = false: the database follows the machine."""
        self._sweep_later(world)
        for node in self.nodes.values():
            if node.maintenance or node.reservation is not None:
                continue
            try:
                node.power_state = STATES.get(world.bmcs[node.host].read(), node.power_state)
            except (ApiError, Down, Hang):
                continue  # tried again by the next sweep


def error_body(status: int, text: str) -> object:
    return {"error_message": {"faultcode": "Client", "faultstring": text, "debuginfo": None}, "code": status}
