"""How does placement-api answer over HTTP, about one resource provider?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hanode.sim.cloud.http import Request, Response, Route, find
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.world import World

T = TypeVar("T")


def error_body(status: int, text: str) -> object:
    return {"errors": [{"status": status, "title": "Error", "detail": text}]}


class PlacementApi:
    def __init__(self, live: LiveWorld, keystone: Keystone) -> None:
        self._live = live
        self._keystone = keystone
        self._routes = (
            Route("GET", "/resource_providers/([^/]+)/allocations", self._allocations),
            Route("GET", "/resource_providers/([^/]+)/inventories", self._inventories),
            Route("GET", "/resource_providers/([^/]+)/usages", self._usages),
            Route("GET", "/resource_providers", self._with_trait),
            Route("GET", "/resource_providers/([^/]+)", self._provider),
            Route("GET", "/allocations/([^/]+)", self._held),
            Route("PUT", "/allocations/([^/]+)", self._hold),
        )

    def answer(self, request: Request) -> Response:
        if request.path == "/":
            return Response(200, {"versions": [{"id": "v1.0", "status": "CURRENT", "min_version": "1.0", "max_version": "1.39",
                                                "links": [{"rel": "self", "href": ""}]}]})
        self._keystone.require_token(request)
        return find(self._routes, request)

    def _allocations(self, _: Request, provider_id: str) -> Response:
        rows = self._ask(lambda world: world.nova.allocations(provider_id))
        return Response(200, {"resource_provider_generation": 1, "allocations": {
            consumer: {"resources": {name: amount for name, amount in amounts.items() if amount}}
            for consumer, amounts in rows.items()}})

    def _inventories(self, _: Request, provider_id: str) -> Response:
        rows = self._ask(lambda world: world.nova.inventories(provider_id))
        return Response(200, {"resource_provider_generation": 1, "inventories": {
            name: {"total": row.total, "reserved": row.reserved, "allocation_ratio": row.ratio, "min_unit": 1,
                   "max_unit": row.total, "step_size": 1}
            for name, row in rows.items()}})

    def _usages(self, _: Request, provider_id: str) -> Response:
        rows = self._ask(lambda world: world.nova.usages(provider_id))
        return Response(200, {"resource_provider_generation": 1, "usages": dict(rows)})

    def _with_trait(self, request: Request) -> Response:
        """Only what hanode asks for: those that have one trait."""
        found = self._ask(lambda world: world.nova.providers_with(request.query["required"]))
        return Response(200, {"resource_providers": [{"uuid": each, "root_provider_uuid": each} for each in sorted(found)]})

    def _provider(self, _: Request, provider_id: str) -> Response:
        return Response(200, {"uuid": provider_id, "root_provider_uuid": provider_id})

    def _held(self, _: Request, instance_id: str) -> Response:
        rows = self._ask(lambda world: world.nova.held(instance_id))
        return Response(200, {"consumer_generation": 1, "project_id": "p", "user_id": "u", "allocations": {
            provider: {"generation": 1, "resources": dict(amounts)} for provider, amounts in rows.items()}})

    def _hold(self, request: Request, instance_id: str) -> Response:
        """Only what hanode asks for: fewer providers than before."""
        (kept,) = request.body["allocations"]
        self._ask(lambda world: world.nova.settle_allocation(instance_id, kept))
        return Response(204, None)

    def _ask(self, call: Callable[[World], T]) -> T:
        return self._live.ask(call, error_body, lambda world: world.control.delay_s)
