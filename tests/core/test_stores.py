"""Which instances may be restarted because a store has cut their host off? Only those of which no disk can lie elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hanode.core.decisions import Beat, Timers
from hanode.core.draft import Draft
from hanode.core.facts import Aggregate, Host, Instance, Reading, Service
from hanode.core.fence import _has_slot, _without_power
from hanode.core.judge import Evidence
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Moment, Snapshot, WantKind
from hanode.core.policy import Policy, StorePlan
from hanode.core.records import Before, Cut, HostRecovery, InstanceRecovery, Proof, ProofKind, Records
from hanode.core.stores import by_storage, domain_and_host, store_key, store_of, why_not_whole
from hanode.engine import codec
from hanode.ports import Entry

SERVER = Instance("i1", "web1", "c1", "active", image_id="image-1", disk_gb=10, volumes=0)
ENTRY = InstanceRecovery("i1", "web1", InstanceState.PENDING, "", Before("active", "running", False), domain="ceph-a")
STORE = StorePlan(proof=True)
AT = "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(("server", "entry", "plan", "whole"), [
    (SERVER, ENTRY, STORE, True),
    (replace(SERVER, ephemeral_gb=5, swap_mb=512), ENTRY, STORE, True),  # where Nova keeps the root disk it keeps these
    (SERVER, replace(ENTRY, domain="ceph-b"), STORE, False),
    (SERVER, replace(ENTRY, domain=""), STORE, False),  # nobody has said where its disk is
    (replace(SERVER, volumes=1), ENTRY, STORE, False),
    (replace(SERVER, volumes=None), ENTRY, STORE, False),  # this Nova does not tell
    (replace(SERVER, image_id="", volumes=1), ENTRY, STORE, False),
    (replace(SERVER, image_id="", volumes=1), ENTRY, replace(STORE, volumes=True), True),
    (replace(SERVER, image_id="", volumes=1), replace(ENTRY, domain=""), replace(STORE, volumes=True), True),
    (replace(SERVER, image_id="", volumes=1, swap_mb=512), replace(ENTRY, domain=""), replace(STORE, volumes=True), False),
    (replace(SERVER, volumes=1), ENTRY, None, False),  # its store is not described any more
])
def test_only_who_is_wholly_there_may_go(server: Instance, entry: InstanceRecovery, plan: StorePlan | None, whole: bool) -> None:
    """What is not known for certain is taken to lie elsewhere, where the old guest may still write."""
    assert (why_not_whole(server, entry, "ceph-a", plan) == "") is whole


def host(kind: str = "rbd") -> Host:
    service = Service("s1", "nova-compute", "c1", "down")
    return Host("c1", service, aggregates=(Aggregate("a", frozenset({"c1"}), {"hanode:storage": "ceph-a", "hanode:kind": kind}),))


def test_a_store_counts_only_where_the_operator_lets_it() -> None:
    """By its domain, its kind and its word of proof; described alone it is only checked."""
    assert store_of(Policy(), host()) is None
    assert store_of(Policy(stores={"ceph-a": STORE}), host()) == ("ceph-a", STORE)
    assert store_of(Policy(stores={"ceph-a": replace(STORE, proof=False)}), host()) is None
    assert store_of(Policy(stores={"ceph-a": STORE}), host("file")) is None, "a share is not cut off by Ceph's blocklist"
    assert store_of(Policy(stores={"ceph-a": replace(STORE, hosts=("d*",))}), host()) is None
    assert store_of(Policy(stores={"ceph-b": STORE}), host()) is None


def test_who_has_given_its_turn_back_waits_for_it_before_it_is_cut_off() -> None:
    """It outlived its power-offs, and its device is not believed since: without a turn of its own more would be fenced at once (S4)."""
    policy = Policy(stores={"ceph-a": STORE}, max_fencing=1)
    lived = HostRecovery("c1", "c1-1", HostState.FENCING, "", AT, offs=("ambiguous",), outlived=True, instances={"i1": ENTRY})
    other = HostRecovery("c2", "c2-1", HostState.FENCING, "", AT, offs=("",))
    seen = Snapshot(readings={(WantKind.SERVERS, "c1"): Reading((SERVER,), 0.0, 0.0)})

    def tried(*records: HostRecovery) -> Draft:
        draft = Draft(seen, Records({record.host: record for record in records}), Timers(0.0), policy, Moment(0.0, AT))
        _without_power(draft, lived, Evidence(host(), Beat("", 0.0), 0.0, 0.0, policy), "its power device is not believed")
        return draft

    assert tried(lived, other).records["c1"].cut is None
    alone = tried(lived)
    assert alone.records["c1"].cut is not None
    assert not _has_slot(alone), "from its order on it is being fenced again, and the next one waits"


def test_a_key_holds_any_domain() -> None:
    """Aggregates are called as people like."""
    assert domain_and_host(store_key("ceph@rack 1", "c1")) == ("ceph@rack 1", "c1")


def test_a_cut_outlives_its_leader_and_older_records_know_none() -> None:
    """The next leader must know what to keep up; a journal of before says nothing of it."""
    proof = Proof(ProofKind.STORAGE, "cut off", "2026-11-23T04:00:00Z")
    record = HostRecovery("c1", "c1-1", HostState.EVACUATING, "", "", proof=proof, cut=Cut("ceph-a", 3600.0, "", stood=True), cut_orders=3)
    texts = codec.texts_of(record)
    read = codec.records_in([Entry(key, text, 1) for key, text in texts.items()])["c1"]
    assert read == record
    assert by_storage(read)
    older = HostRecovery("c1", "c1-1", HostState.EVACUATING, "", "")
    (key, text), = codec.texts_of(older).items()
    stripped = text.replace(',"cut":null,"cut_orders":0,"cut_tries":[]', "")
    assert stripped != text
    assert codec.records_in([Entry(key, stripped, 1)])["c1"] == older
