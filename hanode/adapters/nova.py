"""How is Nova spoken to? Every call with its microversion pinned, one request per write, lists read to their end.

A microversion is part of the meaning of a call: from 2.95 on an evacuated guest always ends stopped, before 2.14 the
caller says whether storage is shared, from 2.88 on a list of hypervisors asks every host by RPC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from hanode.adapters import nova_facts as facts
from hanode.adapters.rest import Json, NotFound, Params, Rest, parsing
from hanode.core.facts import Aggregate, Fleet, Hypervisor, Instance, Migration, ServerGroup, Service
from hanode.core.model import Call
from hanode.errors import HanodeError, Refused, Unreachable

SERVICES = "2.69"  # rows of a cell that does not answer come without a state, instead of not at all
SERVICE_UPDATE = "2.53"
HYPERVISORS = "2.53"  # ids are uuids; 2.88 and newer make an RPC call per host
AGGREGATES = "2.1"
SERVERS = "2.73"  # flavor embedded, locked_reason
MIGRATIONS = "2.59"  # uuids and paging
SERVERS_RICHER = ("2.98", "2.96")  # with the image's properties; with the zone that a server was created for
SERVER_GROUPS = "2.64"  # one policy and its rule
ACTIONS = "2.62"
SERVER_ACTION = "2.1"
LOCK = "2.73"
MIGRATE = "2.79"  # 2.56 and newer: cold to a named host; 2.68 and newer: the scheduler validates that host, always

EVACUATE: Mapping[Call, tuple[str, Mapping[str, bool]]] = {
    Call.SCHEDULED: ("2.79", {}),  # <= 2.94 keeps the power state
    Call.STOPPED: ("2.95", {}),  # leaves it stopped; refused while a nova-compute is older than 27.0.0
    Call.ON_SHARED_STORAGE: ("2.13", {"onSharedStorage": True}),  # < 2.14 fails instead of rebuilding from the image
}

PINNED = (SERVICES, SERVICE_UPDATE, HYPERVISORS, AGGREGATES, SERVERS, MIGRATIONS, SERVER_GROUPS, ACTIONS, SERVER_ACTION, LOCK, MIGRATE,
          *(microversion for call, (microversion, _) in EVACUATE.items() if call is not Call.STOPPED))
"""Nova must offer each of them; what only an option asks for is not among them."""

UNFINISHED = ("accepted", "pre-migrating", "done")
INVENTORY_AGE_S = 60.0
GROUPS_AT_ONCE = 1000
REASON_CHARACTERS = 255  # the width of Nova's columns; longer is answered with 400


class Nova:
    def __init__(self, rest: Rest, now: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._now = now
        self._inventory: tuple[float, dict[str, Hypervisor], Mapping[str, tuple[Aggregate, ...]]] | None = None
        self._inventory_lock = threading.Lock()
        self._shown = facts.Shown({}, Fleet({}, ()))

    # ---------------------------------------------------------------- reads

    def read_fleet(self) -> Fleet:
        rows = self._rows_of_services({})
        hypervisors, aggregates = self._read_inventory()
        with parsing("compute", "/os-services"):
            # Replaced whole, so of two readers side by side one finds what the other has read, or what was before.
            self._shown = shown = facts.fleet(rows, hypervisors, aggregates, self._shown)
        return shown.fleet

    def read_servers(self, host: str) -> tuple[Instance, ...]:
        rows = self._rest.pages("/servers/detail", "servers", lambda row: str(row["id"]), microversion=self._servers(),
                                params={"all_tenants": "1", "host": host})
        with parsing("compute", "/servers/detail"):
            servers = [facts.instance(row) for row in rows]
        # Nova drops a filter silently when policy forbids it: a server of another host shows that this happened.
        if any(server.host != host for server in servers):
            raise Refused(f"Nova lists servers of other hosts when asked for those of {host}: the user of group [keystone] "
                          "lacks the admin role (policy os_compute_api:servers:allow_all_filters)")
        self._require_cell_of(host)
        return tuple(sorted((s for s in servers if s.vm_state not in facts.SOFT_DELETED), key=lambda s: s.instance_id))

    def read_instance(self, instance_id: str) -> Instance | None:
        path = f"/servers/{instance_id}"
        try:
            body = self._rest.get(path, microversion=self._servers())
        except NotFound:
            return None
        with parsing("compute", path):
            return facts.instance(body["server"])

    def read_migrations(self, host: str) -> tuple[Migration, ...]:
        records = self._read_migrations({"host": host})  # matches source or target
        self._require_cell_of(host)
        return _in_order(records)

    def read_evacuations(self) -> tuple[Migration, ...]:
        # Nova takes one status a call. Read in the order in which a record goes through them, so that one which moves on
        # meanwhile is seen twice, never not at all; the later sight counts.
        found: dict[str, Migration] = {}
        for status in UNFINISHED:
            rows = self._read_migrations({"migration_type": "evacuation", "status": status})
            found |= {row.migration_id: row for row in rows}
        silent = [row.host for row in self._read_services({}) if not row.state]
        if silent:
            raise Unreachable(f"a Nova cell does not answer (that of {silent[0]}): its evacuations are not listed")
        return _in_order(found.values())

    def read_groups(self) -> tuple[ServerGroup, ...]:
        rows: list[Json] = []
        while True:  # no marker and no links here, and max_limit of Nova may be below ours: only an empty page is the last
            page = self._rest.get("/os-server-groups", microversion=SERVER_GROUPS,
                                  params={"all_projects": "True", "limit": str(GROUPS_AT_ONCE), "offset": str(len(rows))})
            with parsing("compute", "/os-server-groups"):
                found = page["server_groups"]
            if not found:
                break
            rows += found
        with parsing("compute", "/os-server-groups"):
            return tuple(sorted((facts.server_group(row) for row in rows), key=lambda group: group.group_id))

    def read_stopped_by_owner(self, instance_id: str, since: str) -> bool:
        path = f"/servers/{instance_id}/os-instance-actions"
        rows = self._rest.pages(path, "instanceActions", lambda row: str(row["request_id"]), microversion=ACTIONS,
                                links="links")
        with parsing("compute", path):
            return facts.stopped_by_owner(rows, since)

    def read_clock(self) -> datetime:
        return self._rest.date("/os-services?binary=nova-conductor", microversion=SERVICES)

    # ---------------------------------------------------------------- writes to services

    def force_down(self, service_id: str) -> None:
        self._update_service(service_id, {"forced_down": True})

    def clear_force_down(self, service_id: str) -> None:
        self._update_service(service_id, {"forced_down": False})

    def disable(self, service_id: str, reason: str) -> None:
        self._update_service(service_id, {"status": "disabled", "disabled_reason": reason[:REASON_CHARACTERS]})

    def enable(self, service_id: str) -> None:
        self._update_service(service_id, {"status": "enabled"})

    # ---------------------------------------------------------------- writes to servers

    def evacuate(self, instance_id: str, target: str, call: Call) -> None:
        # Nova guards nothing here: a second POST is accepted and can run the guest twice. So one request, no retry.
        microversion, flags = EVACUATE[call]
        self._act(instance_id, {"evacuate": {"host": target, **flags}}, microversion)

    def lock(self, instance_id: str, reason: str) -> None:
        self._act(instance_id, {"lock": {"locked_reason": reason[:REASON_CHARACTERS]}}, LOCK)

    def unlock(self, instance_id: str) -> None:
        self._act(instance_id, {"unlock": None}, SERVER_ACTION)

    def start(self, instance_id: str) -> None:
        self._act(instance_id, {"os-start": None}, SERVER_ACTION)

    def stop(self, instance_id: str) -> None:
        self._act(instance_id, {"os-stop": None}, SERVER_ACTION)

    def live_migrate(self, instance_id: str, target: str) -> None:
        self._act(instance_id, {"os-migrateLive": {"host": target, "block_migration": "auto"}}, MIGRATE)

    def cold_migrate(self, instance_id: str, target: str) -> None:
        self._act(instance_id, {"migrate": {"host": target}}, MIGRATE)

    def confirm_migration(self, instance_id: str) -> None:
        self._act(instance_id, {"confirmResize": None}, SERVER_ACTION)

    # ---------------------------------------------------------------- how

    def _servers(self) -> str:
        """The richest list of servers that this Nova offers; the plain one for as long as it does not tell."""
        try:
            newest = self._rest.offered()[1]
        except HanodeError:
            return SERVERS
        return next((text for text in SERVERS_RICHER if tuple(map(int, text.split("."))) <= newest), SERVERS)

    def _act(self, instance_id: str, body: Json, microversion: str) -> None:
        self._rest.write("POST", f"/servers/{instance_id}/action", body, microversion=microversion)

    def _update_service(self, service_id: str, change: Json) -> None:
        if not service_id:
            raise Refused("the service has no id: its cell did not answer when the services were read")
        self._rest.write("PUT", f"/os-services/{service_id}", change, microversion=SERVICE_UPDATE)

    def _read_services(self, params: Params) -> list[Service]:
        rows = self._rows_of_services(params)
        with parsing("compute", "/os-services"):
            return [facts.service(row) for row in rows]

    def _rows_of_services(self, params: Params) -> list[Json]:
        body = self._rest.get("/os-services", microversion=SERVICES, params=params)
        with parsing("compute", "/os-services"):
            return list(body["services"])

    def _read_migrations(self, params: Params) -> list[Migration]:
        # No changes-since: a fresh record has no updated_at and would be left out.
        rows = self._rest.pages("/os-migrations", "migrations", lambda row: str(row["uuid"]), microversion=MIGRATIONS,
                                params=params)
        with parsing("compute", "/os-migrations"):
            return [facts.migration(row) for row in rows]

    def _require_cell_of(self, host: str) -> None:
        """Nova leaves a silent cell's servers and migrations out without a word; only os-services shows that it is silent.

        Asked after the list was read, so that a cell which went silent meanwhile is noticed.
        """
        rows = self._read_services({"host": host, "binary": "nova-compute"})
        if not any(row.host == host and row.state for row in rows):
            raise Unreachable(f"the Nova cell of {host} does not answer: what Nova lists for this host is not complete")

    def _read_inventory(self) -> tuple[dict[str, Hypervisor], Mapping[str, tuple[Aggregate, ...]]]:
        with self._inventory_lock:
            if self._inventory is None or self._now() - self._inventory[0] > INVENTORY_AGE_S:
                begun = self._now()
                self._inventory = (begun, self._read_hypervisors(), facts.by_host(self._read_aggregates()))
            return self._inventory[1], self._inventory[2]

    def _read_hypervisors(self) -> dict[str, Hypervisor]:
        path = "/os-hypervisors/detail"
        rows = self._rest.pages(path, "hypervisors", lambda row: str(row["id"]), microversion=HYPERVISORS)
        with parsing("compute", path):
            found = sorted((facts.hypervisor(row) for row in rows), key=lambda h: h.hostname, reverse=True)
        return {row.host: row for row in found}

    def _read_aggregates(self) -> list[Aggregate]:
        body = self._rest.get("/os-aggregates", microversion=AGGREGATES)
        with parsing("compute", "/os-aggregates"):
            return [facts.aggregate(row) for row in body["aggregates"]]


def _in_order(records: Iterable[Migration]) -> tuple[Migration, ...]:
    return tuple(sorted(records, key=lambda record: (record.created_at, record.migration_id)))
