"""Does the status of a large cloud fit into the journal, and come back as it was?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from hanode.engine.codec import CorruptEntry
from hanode.engine.ledger import BYTES_LIMIT, Ledger
from hanode.engine.packing import PACKED, PLAIN_LIMIT, status_in, status_text
from hanode.ports import Entry
from hanode.sim.journal import MemoryJournal, Space
from tests.core.ledgers import CLOUD, Counting, take_office


def status(hosts: int) -> dict[str, Any]:
    one = {"verdict": "HEALTHY", "reason": "", "state": "WATCHED", "incident": "", "zone": "nova", "domain": "ceph", "fenceable": True}
    return {"leader": {"host_id": "n1"}, "hosts": {f"compute-{number:06}.example.org": one for number in range(hosts)}}


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


def test_the_status_of_a_small_cloud_stays_text() -> None:
    """A person looks at it with etcdctl when nothing else works any more."""
    assert json.loads(status_text(status(100)))["hosts"]["compute-000099.example.org"]["verdict"] == "HEALTHY"
    assert len(status_text(status(100))) < PLAIN_LIMIT


@pytest.mark.parametrize("packed", ["", "AAAA", "not base64!", 7])
def test_a_corrupt_status_names_its_key(packed: object) -> None:
    """Never a traceback on the screen of who types `hanode status`."""
    with pytest.raises(CorruptEntry, match="status cannot be read"):
        status_in(Entry("status", json.dumps({"schema": 1, PACKED: packed}), 1))


def test_whoever_reads_meets_the_same_status_however_it_is_kept() -> None:
    """Standbys, the command line and the page read what another version or size of cloud has written."""
    for hosts in (1, 5000):
        space = Space()
        ledger = Ledger(MemoryJournal(space), CLOUD)
        ledger.commit(take_office(ledger), status=status(hosts))
        assert Ledger(MemoryJournal(space), CLOUD).read_status() == {"schema": 1, **status(hosts)}
