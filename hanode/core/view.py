"""What does this tick know of the instances of one recovery, and how sure is it? Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from hanode.core.draft import Draft
from hanode.core.facts import Instance, Migration, Reading
from hanode.core.lifecycle import ENDED, IN_FLIGHT, HostState, InstanceState
from hanode.core.model import WantKind
from hanode.core.once import once
from hanode.core.order import Line, line_of
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.core.tales import tales

SELDOM = 10
"""What tells nothing new by itself is read so many times more seldom than what is followed."""


@dataclass(frozen=True)
class View:
    """What this tick knows of the instances of one recovery."""

    draft: Draft
    record: HostRecovery
    servers: Mapping[str, Instance]
    servers_started_s: float
    migrations: tuple[Migration, ...]
    migrations_started_s: float
    skip_images: frozenset[str]
    is_fresh: bool = True
    """Were both lists begun so lately that an evacuation may be asked for by them?"""

    def evacuations(self, instance_id: str) -> tuple[Migration, ...]:
        """The evacuation records of one instance away from this host, oldest first."""
        found = [m for m in self.migrations if m.instance_id == instance_id and m.kind == "evacuation" and m.source == self.record.host]
        return tuple(sorted(found, key=lambda m: (m.created_at, len(m.migration_id), m.migration_id)))

    @once
    def line(self) -> Line:
        """All instances of all failed hosts, and who of them comes first."""
        return line_of(tale.entry for tale in tales(self.draft.records).values())

    @once
    def disks_move(self) -> bool:
        """Is anybody under way, or about to be? Who waits for others, or for room, is not."""
        told = tales(self.draft.records).values()
        posted = {name for name, record in self.draft.records.items() if record.state is HostState.EVACUATING}
        coming = (t.entry for t in told if t.entry.state is InstanceState.PENDING and t.host in posted)
        return any(t.entry.state in IN_FLIGHT for t in told) or any(not (entry.after or entry.is_doubted) for entry in coming)


def view(draft: Draft, record: HostRecovery) -> View | None:
    """The facts about a recovery's instances; None while they are not known. Read often only while something is open.

    The list of servers is long and slow, that of the migrations short: only who is still to be posted needs the first.
    """
    states = {entry.state for entry in record.instances.values()}
    suspected = record.state is HostState.SUSPECT  # nothing is asked of Nova yet, so there is nothing to follow
    every_s = 10.0 if suspected or states <= {*ENDED, InstanceState.WAITING} else draft.policy.follow_s
    posting = InstanceState.PENDING in states and not suspected
    servers = draft.reading(WantKind.SERVERS, record.host, every_s if posting else max(10.0, SELDOM * every_s))
    migrations = draft.reading(WantKind.MIGRATIONS, record.host, every_s)
    skip_images = draft.skip_images(300.0)
    if servers is None or migrations is None or skip_images is None:
        return None
    by_id = {s.instance_id: s for s in cast("tuple[Instance, ...]", servers.value)}
    found = cast("tuple[Migration, ...]", migrations.value)
    fresh = all(draft.now.s - reading.started_s <= _fresh_s(draft, reading) for reading in (servers, migrations))
    return View(draft, record, by_id, servers.started_s, found, migrations.started_s, skip_images, fresh)


def _fresh_s(draft: Draft, reading: Reading[object]) -> float:
    """As old as a reading gets that is begun again as often as it is followed: a slow Nova is not waited for in vain."""
    return 1.0 + 1.5 * draft.policy.follow_s + 3 * (reading.finished_s - reading.started_s)


def look_again(v: View) -> None:
    """Read both lists at once, for whoever waits for a younger one."""
    v.draft.want(WantKind.SERVERS, v.record.host, 0.0)
    v.draft.want(WantKind.MIGRATIONS, v.record.host, 0.0)


@dataclass(frozen=True)
class Gone:
    """Nova does not know the instance any more."""


def current(v: View, entry: InstanceRecovery, every_s: float) -> Instance | Gone | None:
    """The instance as Nova shows it now, wherever it is; None while that is not known."""
    here = v.servers.get(entry.instance_id)
    # A list in which a moved instance is still at home is older than the move.
    if here is not None and entry.state not in {InstanceState.MOVED, InstanceState.VERIFIED}:
        return here
    reading = v.draft.reading(WantKind.INSTANCE, entry.instance_id, every_s)
    if reading is None or reading.started_s < v.servers_started_s - every_s:
        return None  # older than the list in which it is missing
    return Gone() if reading.value is None else cast(Instance, reading.value)
