"""How much room is left where, and who holds what? Placement, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from hanode.adapters.rest import NotFound, Rest, parsing
from hanode.core.facts import Resources
from hanode.errors import Refused, Unreachable

MICROVERSION = "1.28"
PARALLEL = 8


class Placement:
    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def read_consumption(self, provider_id: str) -> Mapping[str, Resources]:
        path = f"/resource_providers/{provider_id}/allocations"
        body = self._rest.get(path, microversion=MICROVERSION)
        with parsing("placement", path):
            return {consumer: {name: int(amount) for name, amount in sorted(row["resources"].items())}
                    for consumer, row in sorted(body["allocations"].items())}

    def settle_allocation(self, instance_id: str, provider_id: str) -> None:
        """Keep what the consumer holds in this provider's tree; guarded by its generation, so that no change is overwritten."""
        path = f"/allocations/{instance_id}"
        held = self._rest.get(path, microversion=MICROVERSION)
        with parsing("placement", path):
            kept = {p: {"resources": row["resources"]} for p, row in sorted(held["allocations"].items()) if self._is_of(p, provider_id)}
            body = {"allocations": kept, **{key: held.get(key) for key in ("project_id", "user_id", "consumer_generation")}}
            is_settled = not kept or len(kept) == len(held["allocations"])  # nothing kept: nothing we understand
        if not is_settled:
            self._rest.write("PUT", path, body, microversion=MICROVERSION)

    def _is_of(self, provider_id: str, root_id: str) -> bool:
        if provider_id == root_id:
            return True
        path = f"/resource_providers/{provider_id}"
        found = self._rest.get(path, microversion=MICROVERSION)
        with parsing("placement", path):
            return bool(found["root_provider_uuid"] == root_id)

    def read_trait(self, trait: str) -> frozenset[str]:
        path = "/resource_providers"
        try:
            body = self._rest.get(path, microversion=MICROVERSION, params={"required": trait})
        except Refused as error:
            if "No such trait" in str(error):  # Placement 400: nobody has ever declared it
                return frozenset()
            raise
        with parsing("placement", path):
            return frozenset(row["root_provider_uuid"] for row in body["resource_providers"])

    def read_room(self, providers: Mapping[str, str]) -> Mapping[str, Resources]:
        hosts = sorted(providers)
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="placement") as pool:
            answers = list(pool.map(self._try_room_of, (providers[host] for host in hosts)))
        failures = [answer for answer in answers if isinstance(answer, Unreachable)]
        # One silent provider is left out, as promised. When no provider could be read, Placement itself is ill.
        if failures and len(failures) == len(answers):
            raise failures[0]
        return {host: room for host, room in zip(hosts, answers, strict=True) if isinstance(room, dict)}

    def _try_room_of(self, provider_id: str) -> dict[str, int] | Unreachable | None:
        """None: Placement does not know it."""
        try:
            return self._room_of(provider_id)
        except NotFound:
            return None
        except Unreachable as error:
            return error

    def _room_of(self, provider_id: str) -> dict[str, int]:
        path = f"/resource_providers/{provider_id}"
        inventories = self._rest.get(f"{path}/inventories", microversion=MICROVERSION)
        usages = self._rest.get(f"{path}/usages", microversion=MICROVERSION)
        with parsing("placement", path):
            used = usages["usages"]
            return {name: int((row["total"] - row["reserved"]) * row["allocation_ratio"]) - int(used.get(name, 0))
                    for name, row in sorted(inventories["inventories"].items())}
