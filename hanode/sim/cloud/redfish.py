"""How do the hosts' power devices answer over Redfish? One service with a system for each host."""

from __future__ import annotations

import base64

from hanode.core.facts import Power
from hanode.sim.cloud.http import HttpError, Request, Response, Route, find
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.world import Bmc, World
from hanode.sim.world.ids import uuid_of

USER, PASSWORD = "bmc", "embedded"
POWER_STATES = {Power.ON: "On", Power.OFF: "Off", Power.OTHER: "PoweringOff"}
RESETS = {"ForceOff": Bmc.power_off, "On": Bmc.power_on, "ForceOn": Bmc.power_on}


def error_body(status: int, text: str) -> object:
    return {"error": {"code": f"Base.1.8.{status}", "message": text}}


def system_path(host: str) -> str:
    return f"/redfish/v1/Systems/{host}"


def system_uuid(host: str) -> str:
    """Of the machine itself: a device that is wired to another host tells that one's."""
    return uuid_of("system", host)


def fencing_yaml(url: str, hosts: list[str]) -> str:
    """fencing.yaml for these devices. It holds a password: write it with mode 0600."""
    entries = (
        f"  {host}: {{driver: redfish, url: '{url}', system: '{system_path(host)}', username: {USER}, password: {PASSWORD}, "
        f"uuid: {system_uuid(host)}}}\n" for host in hosts)
    return "hosts:\n" + "".join(entries)


class RedfishApi:
    def __init__(self, live: LiveWorld) -> None:
        self._live = live
        self._routes = (
            Route("GET", "/redfish/v1", self._root),
            Route("GET", "/redfish/v1/Systems", self._systems),
            Route("GET", "/redfish/v1/Systems/([^/]+)", self._system),
            Route("POST", "/redfish/v1/Systems/([^/]+)/Actions/ComputerSystem.Reset", self._reset),
        )

    def answer(self, request: Request) -> Response:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.path != "/redfish/v1" and request.headers.get("authorization") != expected:
            raise HttpError(Response(401, error_body(401, "Wrong user or password")))
        return find(self._routes, request)

    def _root(self, _: Request) -> Response:
        return Response(200, {"@odata.id": "/redfish/v1/", "Systems": {"@odata.id": "/redfish/v1/Systems"}})

    def _systems(self, _: Request) -> Response:
        hosts = self._live.run(lambda world: sorted(world.bmcs))
        return Response(200, {"Members": [{"@odata.id": system_path(host)} for host in hosts]})

    def _system(self, _: Request, host: str) -> Response:
        def read(world: World) -> tuple[Power, str]:
            device = _device(world, host)
            return device.read(), device.acts_on

        power, machine = self._live.ask(read, error_body)
        return Response(200, {
            "@odata.id": system_path(host), "Id": host, "Name": host, "PowerState": POWER_STATES[power],
            "UUID": system_uuid(machine), "SerialNumber": f"SN-{machine}",
            "Actions": {"#ComputerSystem.Reset": {
                "target": f"{system_path(host)}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": sorted(RESETS)}},
        })

    def _reset(self, request: Request, host: str) -> Response:
        kind = request.body.get("ResetType") if isinstance(request.body, dict) else None
        if kind not in RESETS:
            raise HttpError(Response(400, error_body(400, f"ResetType {kind} is not supported")))
        self._live.ask(lambda world: RESETS[kind](_device(world, host)), error_body)
        return Response(204)


def _device(world: World, host: str) -> Bmc:
    if host not in world.bmcs:
        raise HttpError(Response(404, error_body(404, f"No system {host}")))
    return world.bmcs[host]
