"""Which migration records does Nova keep? They are its only evidence of an evacuation, and never cleaned by a timer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanode.core.facts import Migration
from hanode.sim.world.ids import uuid_of
from hanode.sim.world.timeline import stamp

if TYPE_CHECKING:
    from hanode.sim.world.world import World


@dataclass
class MigrationRow:
    number: int
    instance_id: str
    kind: str
    status: str
    source: str
    target: str  # "" until known
    created_s: float
    request_id: str = ""

    @property
    def uuid(self) -> str:
        return uuid_of("migration", self.number)

    def view(self) -> Migration:
        return Migration(
            migration_id=self.uuid, instance_id=self.instance_id, kind=self.kind, status=self.status, source=self.source,
            target=self.target, created_at=stamp(self.created_s),
        )


class Migrations:
    def __init__(self, world: World) -> None:
        self._world = world
        self.rows: list[MigrationRow] = []  # oldest first

    def add(self, instance_id: str, kind: str, status: str, source: str, target: str, request_id: str = "") -> MigrationRow:
        row = MigrationRow(len(self.rows) + 1, instance_id, kind, status, source, target, self._world.now_s, request_id)
        self.rows.append(row)
        self._record(row, "is created")
        return row

    def set_status(self, row: MigrationRow, status: str, why: str) -> None:
        row.status = status
        self._record(row, why)

    def naming(self, host: str) -> tuple[MigrationRow, ...]:
        return tuple(row for row in self.rows if host in (row.source, row.target))

    def evacuations_from(self, host: str, *statuses: str) -> tuple[MigrationRow, ...]:
        return tuple(row for row in self.rows
                     if row.kind == "evacuation" and row.source == host and row.status in statuses)

    def oldest_accepted(self, instance_id: str) -> MigrationRow | None:
        """What nova-conductor takes for the record of its request, be it or not."""
        return next((row for row in self.rows if row.instance_id == instance_id and row.status == "accepted"), None)

    def _record(self, row: MigrationRow, why: str) -> None:
        name = self._world.servers.by_id[row.instance_id].name
        self._world.record(
            "migration", str(row.number), f"{row.kind} of {name} from {row.source} to {row.target or '?'} is {row.status}: {why}",
            instance=row.instance_id, status=row.status, source=row.source, target=row.target, type=row.kind,
            request=row.request_id,
        )
