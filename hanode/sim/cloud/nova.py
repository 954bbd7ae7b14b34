"""How does nova-api answer over HTTP? Exactly the calls that hanode makes, with the microversions that matter to them.

What the world does not model (hypervisors with an RPC call each) is a 400 that says so:
a client that drifts to another microversion is to fail here, not in production.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hanode.core.facts import Migration
from hanode.core.model import Call
from hanode.sim.cloud import nova_views as views
from hanode.sim.cloud.http import HttpError, Request, Response, Route, find
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.world import Part, World
from hanode.sim.world.nova import HANODE

T = TypeVar("T")
NEWEST = 104
ERROR_KEYS = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 406: "notAcceptable", 409: "conflictingRequest"}


def error_body(status: int, text: str) -> object:
    return {ERROR_KEYS.get(status, "computeFault"): {"code": status, "message": text}}


def bad_request(text: str, status: int = 400) -> HttpError:
    return HttpError(Response(status, error_body(status, text)))


class NovaApi:
    """`page_size` is Nova's [api] max_limit."""

    def __init__(self, live: LiveWorld, keystone: Keystone, page_size: int = 1000) -> None:
        self._live = live
        self._keystone = keystone
        self._page_size = page_size
        self._routes = (
            Route("GET", "/v2.1/os-services", self._services),
            Route("PUT", "/v2.1/os-services/([^/]+)", self._update_service),
            Route("GET", "/v2.1/os-hypervisors/detail", self._hypervisors),
            Route("GET", "/v2.1/os-aggregates", self._aggregates),
            Route("GET", "/v2.1/os-server-groups", self._server_groups),
            Route("GET", "/v2.1/servers/detail", self._servers),
            Route("POST", "/v2.1/servers", self._create),
            Route("DELETE", "/v2.1/servers/([^/]+)", self._delete),
            Route("GET", "/v2.1/servers/([^/]+)", self._server),
            Route("GET", "/v2.1/servers/([^/]+)/os-instance-actions", self._instance_actions),
            Route("POST", "/v2.1/servers/([^/]+)/action", self._act),
            Route("GET", "/v2.1/os-migrations", self._migrations),
        )

    def answer(self, request: Request) -> Response:
        if request.path in {"/", "/v2.1"}:
            return Response(200, {"version": {"id": "v2.1", "status": "CURRENT", "version": f"2.{NEWEST}", "min_version": "2.1",
                                              "links": [{"rel": "self", "href": "/v2.1/"}]}})
        self._keystone.require_token(request)
        version = minor(request)
        response = find(self._routes, request)
        return Response(response.status, response.body, {
            "OpenStack-API-Version": f"compute 2.{version}", "x-openstack-request-id": f"req-{uuid.uuid4()}", **response.headers})

    # ---------------------------------------------------------------- reads

    def _services(self, request: Request) -> Response:
        require(request, 53)
        rows = [service for service in self._ask(lambda world: world.nova.services())
                if request.query.get("host", service.host) == service.host
                and request.query.get("binary", service.binary) == service.binary
                and (service.state or minor(request) >= 69)]
        return Response(200, {"services": [views.service(row) for row in rows]})

    def _hypervisors(self, request: Request) -> Response:
        require(request, 53, 87)
        rows = self._ask(lambda world: [views.hypervisor(h, world) for h in world.nova.hypervisors()])
        return self._page(request, "hypervisors", rows, "id")

    def _aggregates(self, _: Request) -> Response:
        rows = self._ask(lambda world: world.nova.aggregates())
        return Response(200, {"aggregates": [views.aggregate(number, row) for number, row in enumerate(rows, 1)]})

    def _server_groups(self, request: Request) -> Response:
        require(request, 64)
        rows = self._ask(lambda world: world.nova.groups()) if request.query.get("all_projects") else ()
        begin, size = int(request.query.get("offset", 0)), min(int(request.query.get("limit", self._page_size)), self._page_size)
        return Response(200, {"server_groups": [views.server_group(row) for row in rows[begin:begin + size]]})

    def _servers(self, request: Request) -> Response:
        def read(world: World) -> list[Any]:
            # Nova leaves the servers of a cell that does not answer out, without a word.
            if not world.control.is_up(Part.CELL):
                return []
            hosts = [request.query["host"]] if "host" in request.query else list(world.hosts)
            return [server for host in hosts for server in world.nova.servers(host)]

        if request.query.get("all_tenants") != "1":
            return Response(200, {"servers": []})  # hanode's own project has none
        rows = [views.server(row, minor(request)) for row in self._ask(read)]
        return self._page(request, "servers", rows, "id")

    def _server(self, request: Request, instance_id: str) -> Response:
        def read(world: World) -> dict[str, Any]:
            if minor(request) >= 69 and not world.control.is_up(Part.CELL) and instance_id in world.servers.by_id:
                return views.server_of_silent_cell(world.servers.by_id[instance_id])
            return views.server(world.nova.server(instance_id), minor(request))

        return Response(200, {"server": self._ask(read)})

    def _instance_actions(self, request: Request, instance_id: str) -> Response:
        require(request, 62)
        rows = self._ask(lambda world: [views.action(row, instance_id) for row in reversed(world.nova.actions(instance_id))])
        return self._page(request, "instanceActions", rows, "request_id", links="links")

    def _migrations(self, request: Request) -> Response:
        def read(world: World) -> list[Any]:
            if not world.control.is_up(Part.CELL):
                return []  # as with servers
            rows = _migrations(world, request.query)
            return [views.migration(number, row) for number, row in enumerate(rows, 1)]

        require(request, 59)
        return self._page(request, "migrations", self._ask(read), "uuid")

    # ---------------------------------------------------------------- writes

    def _update_service(self, request: Request, service_id: str) -> Response:
        require(request, 53)
        change = request.body if isinstance(request.body, dict) else {}
        if not change or set(change) - {"status", "disabled_reason", "forced_down"}:
            raise bad_request(f"Invalid input: {sorted(change)}")
        if "disabled_reason" in change and change.get("status") != "disabled":
            raise bad_request("Specifying disabled_reason requires that status is 'disabled'.")
        if len(change.get("disabled_reason", "")) > 255:
            raise bad_request("Invalid input for field/attribute disabled_reason: it is too long")
        if "forced_down" in change:
            self._ask(lambda world: world.nova.set_forced_down(service_id, bool(change["forced_down"])))
        if change.get("status") == "disabled":
            self._ask(lambda world: world.nova.disable(service_id, change.get("disabled_reason", "")))
        elif "status" in change:
            self._ask(lambda world: world.nova.enable(service_id))
        return Response(200, {"service": {"id": service_id, **change}})

    def _create(self, request: Request) -> Response:
        """On a named host, without a network, as a drill makes its canaries."""
        require(request, 74)
        given = request.body.get("server") if isinstance(request.body, dict) else None
        needed = {"name", "flavorRef", "imageRef", "networks", "metadata", "host"}
        if not isinstance(given, dict) or set(given) != needed or given["networks"] != "none":
            raise bad_request(f"The embedded cloud does not model POST /servers with {given}")

        def create(world: World) -> str:
            world.moves.create(given["name"], given["host"])
            server = world.servers.named(given["name"])
            server.metadata |= given["metadata"]
            return server.instance_id

        return Response(202, {"server": {"id": self._ask(create)}})

    def _delete(self, _: Request, instance_id: str) -> Response:
        return self._accept(lambda world: world.nova.delete(instance_id), 204)

    def _act(self, request: Request, instance_id: str) -> Response:
        verbs: Mapping[str, Callable[[str, Any, int], Response]] = {
            "evacuate": self._evacuate, "lock": self._lock, "unlock": self._unlock,
            "os-start": self._start, "os-stop": self._stop, "os-resetState": self._reset_state,
            "os-migrateLive": self._live_migrate, "migrate": self._cold_migrate, "confirmResize": self._confirm}
        if not isinstance(request.body, dict) or len(request.body) != 1:
            raise bad_request("There is no such action")
        ((verb, given),) = request.body.items()
        if verb not in verbs:
            raise bad_request(f"There is no such action: {verb}")
        return verbs[verb](instance_id, given, minor(request))

    def _evacuate(self, instance_id: str, given: Any, version: int) -> Response:
        call = evacuation_call(given, version)
        request_id = self._ask(lambda world: world.nova.evacuate(instance_id, given.get("host", ""), call))
        return Response(200, {"adminPass": None} if version < 14 else None, {"x-openstack-request-id": request_id})

    def _lock(self, instance_id: str, given: Any, version: int) -> Response:
        if given is not None and (version < 73 or not isinstance(given, dict) or set(given) != {"locked_reason"}):
            raise bad_request(f"Invalid input for field/attribute lock: {given}")
        reason = (given or {}).get("locked_reason", "")
        return self._accept(lambda world: world.nova.lock(instance_id, reason))

    def _unlock(self, instance_id: str, _: Any, __: int) -> Response:
        return self._accept(lambda world: world.nova.unlock(instance_id))

    def _start(self, instance_id: str, _: Any, __: int) -> Response:
        return self._accept(lambda world: world.nova.start(instance_id))

    def _stop(self, instance_id: str, _: Any, __: int) -> Response:
        return self._accept(lambda world: world.nova.stop(instance_id))

    def _reset_state(self, instance_id: str, given: Any, _: int) -> Response:
        if not isinstance(given, dict) or given.get("state") not in {"active", "error"}:
            raise bad_request(f"Invalid input for field/attribute os-resetState: {given}")
        return self._accept(lambda world: world.nova.reset_state(instance_id, given["state"]))

    def _live_migrate(self, instance_id: str, given: Any, version: int) -> Response:
        if version < 68 or not isinstance(given, dict) or set(given) != {"host", "block_migration"} or not given["host"]:
            raise bad_request(f"The embedded cloud does not model os-migrateLive of 2.{version} with {given}")
        return self._accept(lambda world: world.moves.live_migrate(instance_id, given["host"], user=HANODE))

    def _cold_migrate(self, instance_id: str, given: Any, version: int) -> Response:
        if version < 56 or not isinstance(given, dict) or set(given) != {"host"} or not given["host"]:
            raise bad_request(f"The embedded cloud does not model migrate of 2.{version} with {given}")
        return self._accept(lambda world: world.moves.migrate(instance_id, given["host"], user=HANODE))

    def _confirm(self, instance_id: str, _: Any, __: int) -> Response:
        return self._accept(lambda world: world.moves.confirm(instance_id, user=HANODE), 204)

    def _accept(self, call: Callable[[World], None], status: int = 202) -> Response:
        self._ask(call)
        return Response(status)

    # ---------------------------------------------------------------- how

    def _ask(self, call: Callable[[World], T]) -> T:
        return self._live.ask(call, error_body, lambda world: world.control.delay_s)

    def _page(self, request: Request, key: str, rows: list[Any], marker: str, links: str = "") -> Response:
        """From behind the marker, at most `limit` or a page; a marker that is gone is an error, as in Nova."""
        if "marker" in request.query:
            places = [place for place, row in enumerate(rows) if str(row[marker]) == request.query["marker"]]
            if not places:
                raise bad_request(f"marker [{request.query['marker']}] not found")
            rows = rows[places[0] + 1:]
        size = min(int(request.query.get("limit", self._page_size)), self._page_size)
        page: dict[str, Any] = {key: rows[:size]}
        if len(rows) > size:
            page[links or f"{key}_links"] = [{"rel": "next", "href": f"{request.path}?marker={rows[size - 1][marker]}"}]
        return Response(200, page)


def _migrations(world: World, query: Mapping[str, str]) -> tuple[Migration, ...]:
    """The two questions that hanode asks: all of a host, or the evacuations in one status."""
    if "host" in query:
        return world.nova.migrations(query["host"])
    if query.get("migration_type") == "evacuation" and "status" in query:
        return world.nova.evacuations(query["status"])
    raise bad_request("The embedded cloud lists migrations of a host, or evacuations in a status")


def evacuation_call(given: Any, version: int) -> Call:
    """Checks the body as Nova's schema of that microversion does."""
    if not isinstance(given, dict):
        raise bad_request(f"Invalid input for field/attribute evacuate: {given}")
    of_version = {"onSharedStorage"} if version < 14 else {"force"} if 29 <= version < 68 else set()
    known = {"host", "adminPass"} | of_version
    if set(given) - known:
        raise bad_request(f"Additional properties are not allowed ({sorted(set(given) - known)} was unexpected)")
    if version < 14 and "onSharedStorage" not in given:
        raise bad_request("'onSharedStorage' is a required property")
    if version < 14 and given["onSharedStorage"] is True and given.get("host"):
        return Call.ON_SHARED_STORAGE
    if 29 <= version <= 94 and not given.get("force"):
        return Call.SCHEDULED
    if version >= 95:
        return Call.STOPPED
    raise bad_request(f"The embedded cloud does not model evacuations of microversion 2.{version} with {sorted(given)}")


def minor(request: Request) -> int:
    """The number after "2." that the client asked for; 2.1 when it did not ask."""
    service, _, text = request.headers.get("openstack-api-version", "compute 2.1").partition(" ")
    major, _, number = text.partition(".")
    if service != "compute" or major != "2" or not number.isdigit() or not 1 <= int(number) <= NEWEST:
        raise bad_request(f"Version {text} is not supported by the API. Minimum is 2.1 and maximum is 2.{NEWEST}.", 406)
    return int(number)


def require(request: Request, oldest: int, newest: int = NEWEST) -> None:
    if not oldest <= minor(request) <= newest:
        raise bad_request(f"The embedded cloud models {request.path} of 2.{oldest} to 2.{newest} only")
