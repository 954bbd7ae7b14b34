"""Does what the journal keeps of a large cloud fit into it, and come back as it was?"""

from __future__ import annotations

import json
from random import Random
from typing import Any
from uuid import UUID

import pytest

from hanode.core.records import Roster
from hanode.engine import codec
from hanode.engine.codec import CorruptEntry
from hanode.engine.ledger import BYTES_LIMIT, Ledger
from hanode.engine.packing import PACKED, PACKED_SCHEMA, PLAIN_LIMIT, packed
from hanode.ports import Entry
from hanode.sim.journal import MemoryJournal, Space
from tests.core.ledgers import CLOUD, Counting, take_office


def status(hosts: int) -> dict[str, Any]:
    one = {"verdict": "HEALTHY", "reason": "", "state": "WATCHED", "incident": "", "zone": "nova", "domain": "ceph", "fenceable": True}
    return {"leader": {"host_id": "n1"}, "hosts": {f"compute-{number:06}.example.org": one for number in range(hosts)}}


def roster(hosts: int) -> Roster:
    """Every host was seen up, and every power device has told who it is."""
    names = [f"compute-{number:06}.example.org" for number in range(hosts)]
    told = {name: {f"redfish https://bmc-{name}": f"uuid {UUID(int=Random(name).getrandbits(128))}"} for name in names}
    return Roster(seen=frozenset(names), held={names[0]: "doubt:TOO_MANY"}, identities=told)


def test_the_status_of_ten_thousand_hosts_fits_into_one_transaction() -> None:
    """etcd refuses what is too large, and then nothing of the tick is committed: the leader could not act any more."""
    plain = json.dumps(status(10_000))
    assert len(plain) > BYTES_LIMIT
    journal = Counting(Space())
    ledger = Ledger(journal, CLOUD)
    ledger.commit(take_office(ledger), status=status(10_000))
    (written,) = journal.committed[-1].puts.values()
    assert len(written) < BYTES_LIMIT / 5
    assert ledger.read_status() == {"schema": 1, **status(10_000)}


def test_the_roster_of_twenty_thousand_hosts_fits_into_one_transaction() -> None:
    """As many as one region should have. Without it nobody knows who is held, and which machine each device belongs to."""
    journal = Counting(Space())
    ledger = Ledger(journal, CLOUD)
    ledger.commit(take_office(ledger), roster=roster(20_000))
    (written,) = journal.committed[-1].puts.values()
    assert len(codec.to_text(roster(20_000))) > 3 * BYTES_LIMIT > 3 * len(written)
    assert ledger.load().records.roster == roster(20_000)


def test_a_packed_record_stands_those_down_who_cannot_unpack_it() -> None:
    """They would read an empty roster, and shoot whom an operator's pause or a hold protects."""
    assert codec.fields_of("roster", packed(codec.to_text(roster(5000))))["held"]
    assert json.loads(packed(codec.to_text(roster(5000))))["schema"] == PACKED_SCHEMA > codec.WRITTEN


def test_the_status_of_a_small_cloud_stays_text() -> None:
    """A person looks at it with etcdctl when nothing else works any more."""
    text = packed(codec.plain_text(status(100)))
    assert json.loads(text)["hosts"]["compute-000099.example.org"]["verdict"] == "HEALTHY"
    assert len(text) < PLAIN_LIMIT


@pytest.mark.parametrize("inside", ["", "AAAA", "not base64!", "größe", 7])
def test_a_corrupt_status_names_its_key(inside: object) -> None:
    """Never a traceback on the screen of who types `hanode status`."""
    with pytest.raises(CorruptEntry, match="status cannot be read"):
        codec.fields_of("status", Entry("status", json.dumps({"schema": 1, PACKED: inside}), 1).value)


def test_whoever_reads_meets_the_same_status_however_it_is_kept() -> None:
    """Standbys, the command line and the page read what another version or size of cloud has written."""
    for hosts in (1, 5000):
        space = Space()
        ledger = Ledger(MemoryJournal(space), CLOUD)
        ledger.commit(take_office(ledger), status=status(hosts))
        assert Ledger(MemoryJournal(space), CLOUD).read_status() == {"schema": 1, **status(hosts)}
