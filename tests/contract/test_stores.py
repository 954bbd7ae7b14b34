"""Does every store keep the promises of the Stores port? One suite over both drivers, then the traps of Ceph."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from hanode.adapters.fencing.config import FencingConfig, load
from hanode.core.facts import Access
from hanode.errors import Ambiguous, ConfigError, Refused, Unreachable
from hanode.ports import Stores
from tests.contract.bmcs import never, wait_until
from tests.contract.stores import ADDRESSES, DOMAIN, HOST, FakeCeph, FakeFiler, StoreDouble
from tests.contract.test_ipmi import is_dead


@pytest.fixture
def ceph(tmp_path: Path) -> FakeCeph:
    return FakeCeph(tmp_path)


@pytest.fixture(params=[FakeCeph, FakeFiler])
def double(request: pytest.FixtureRequest, tmp_path: Path) -> StoreDouble:
    made: StoreDouble = request.param(tmp_path)
    return made


def test_a_host_is_cut_off_and_given_back(double: StoreDouble) -> None:
    """What counts is what the store says afterwards, both ways."""
    stores: Stores = double.stores
    assert stores.read(DOMAIN, HOST) is Access.OPEN
    stores.cut(DOMAIN, HOST, 3600, never)
    assert double.is_cut()
    assert stores.read(DOMAIN, HOST) is Access.CUT
    stores.restore(DOMAIN, HOST, never)
    assert stores.read(DOMAIN, HOST) is Access.OPEN


def test_both_may_be_repeated(double: StoreDouble) -> None:
    """A new leader renews what it knows only from the journal, and lifts what another may have lifted already."""
    stores = double.stores
    for _ in range(2):
        stores.cut(DOMAIN, HOST, 3600, never)
    for _ in range(2):
        stores.restore(DOMAIN, HOST, never)
    assert stores.read(DOMAIN, HOST) is Access.OPEN


def test_an_order_that_is_accepted_and_not_carried_out_is_no_cut(double: StoreDouble) -> None:
    """The exit code of an order says that it was taken, not that it stands."""
    double.put("fault", "lie")
    with pytest.raises(Ambiguous, match="does not show cn1 cut off"):
        double.stores.cut(DOMAIN, HOST, 3600, never)
    assert double.stores.read(DOMAIN, HOST) is Access.OPEN


def test_a_refusal_promises_that_nothing_happened(double: StoreDouble) -> None:
    """Wrong credentials or caps: trying again is pointless."""
    double.put("fault", "denied")
    with pytest.raises(Refused):
        double.stores.cut(DOMAIN, HOST, 3600, never)
    assert not double.is_cut()


def test_a_store_that_cannot_be_reached_was_told_nothing(double: StoreDouble) -> None:
    """It is asked before it is ordered."""
    double.put("fault", "dead")
    with pytest.raises(Unreachable):
        double.stores.cut(DOMAIN, HOST, 3600, never)
    with pytest.raises(Unreachable):
        double.stores.read(DOMAIN, HOST)
    assert double.stores.check(DOMAIN, HOST).trouble


def test_an_abort_kills_the_program(double: StoreDouble) -> None:
    """What is left running could still cut a host off after another leader has given it back."""
    double.put("fault", "hang")
    double.settings = dataclasses.replace(double.settings, timeout_s=3600.0)
    with pytest.raises(Ambiguous):
        double.stores.cut(DOMAIN, HOST, 3600, abort=lambda: double.get("child").strip() != "")
    wait_until(lambda: is_dead(int(double.get("child"))))


def test_an_order_without_an_answer_in_time_may_have_arrived(double: StoreDouble) -> None:
    """The deadline is the store's own; nobody knows then."""
    double.put("fault", "hang")
    double.settings = dataclasses.replace(double.settings, timeout_s=3.0)
    with pytest.raises(Ambiguous, match="may have arrived"):
        double.stores.cut(DOMAIN, HOST, 3600, never)


def test_what_cannot_be_understood_is_no_cut(double: StoreDouble) -> None:
    """Neither of the two words: never proof."""
    double.stores.cut(DOMAIN, HOST, 3600, never)
    double.put("fault", "garbage")
    try:
        assert double.stores.read(DOMAIN, HOST) is Access.PARTLY
    except Unreachable as error:
        assert "cannot be read" in str(error)


def test_a_cut_that_was_forgotten_reads_open(double: StoreDouble) -> None:
    """It expires at the store, or somebody takes it back by hand."""
    double.stores.cut(DOMAIN, HOST, 3600, never)
    double.forget()
    assert double.stores.read(DOMAIN, HOST) is Access.OPEN


# --------------------------------------------------------------------------- Ceph


def test_every_address_of_the_host_is_cut_off(ceph: FakeCeph) -> None:
    """By one that is left out its guests would go on writing."""
    ceph.stores.cut(DOMAIN, HOST, 3600, never)
    ceph.put("list", '{"10.0.1.11": 3600}')
    assert ceph.stores.read(DOMAIN, HOST) is Access.PARTLY


def test_half_an_order_is_an_ambiguous_one(ceph: FakeCeph) -> None:
    """Nobody can say any more that nothing happened."""
    ceph.put("fault", "breaks")
    with pytest.raises(Ambiguous):
        ceph.stores.cut(DOMAIN, HOST, 3600, never)


def test_the_secret_stands_in_no_argument(ceph: FakeCeph) -> None:
    """Only the path of the keyring does; time, user and configuration are named."""
    ceph.put("keyring", "[client.hanode]\n\tkey = c2VjcmV0\n")
    ceph.stores.cut(DOMAIN, HOST, 600, never)
    argv = ceph.get("argv")
    assert "c2VjcmV0" not in argv
    assert f"--name client.hanode --keyring {ceph.directory}/keyring" in argv
    assert "osd blocklist add 10.0.1.11 600" in argv


def test_a_check_tells_who_is_cut_off_and_cuts_nobody(ceph: FakeCeph) -> None:
    """Entries of single clients are Ceph's own business: a guest that broke the lock of another made them."""
    assert (ceph.stores.check(DOMAIN, "").trouble, ceph.stores.check(DOMAIN, "").cut) == ("", frozenset())
    ceph.stores.cut(DOMAIN, HOST, 600, never)
    assert ceph.stores.check(DOMAIN, HOST).cut == {HOST}


def test_a_name_is_known_by_all_its_addresses(ceph: FakeCeph, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be resolved orders nothing."""
    rows = [(0, 0, 0, "", (address, 0)) for address in ADDRESSES]
    monkeypatch.setattr("socket.getaddrinfo", lambda name, *_, **__: rows if name == "cn1.storage" else _unknown(name))
    ceph.settings = dataclasses.replace(ceph.settings, addresses={"cn*": ["{host}.storage"]})
    ceph.stores.cut(DOMAIN, HOST, 600, never)
    assert ceph.is_cut()
    with pytest.raises(Unreachable, match=r"cn2\.storage cannot be resolved"):
        ceph.stores.cut(DOMAIN, "cn2", 600, never)


def _unknown(name: str) -> list[object]:
    raise OSError(f"no such name {name}")


def test_a_host_without_addresses_is_refused(ceph: FakeCeph) -> None:
    """Guessing one could cut off a neighbour."""
    with pytest.raises(Refused, match="names no address of cn9"):
        ceph.stores.read(DOMAIN, "cn9")


# --------------------------------------------------------------------------- the file


def read(ceph: FakeCeph, **changes: object) -> FencingConfig:
    store = {"driver": "blocklist", "program": str(ceph.settings.program), "conf": str(ceph.settings.conf),
             "keyring": str(ceph.settings.keyring), "addresses": {HOST: list(ADDRESSES)}} | changes
    file = ceph.directory / "fencing.yaml"
    file.write_text(yaml.safe_dump({"storage": {DOMAIN: {key: value for key, value in store.items() if value is not None}}}))
    return load(file)


def test_a_store_is_only_checked_unless_its_cut_is_called_proof(ceph: FakeCeph) -> None:
    """Who describes one to try it must not find his hosts cut off."""
    plan = read(ceph).stores.plans()[DOMAIN]
    assert (plan.proof, plan.volumes, plan.kind, plan.expires_s) == (False, False, "rbd", 3600)
    assert read(ceph, proof="storage").stores.plans()[DOMAIN].proof
    assert plan.knows(HOST)
    assert not plan.knows("cn2")


@pytest.mark.parametrize(("changes", "said"), [
    ({"driver": "blacklist"}, r"storage\.ceph-a\.driver: unknown driver 'blacklist'; did you mean 'blocklist'"),
    ({"proof": "yes"}, r"storage\.ceph-a\.proof: is 'yes'; must be storage"),
    ({"adresses": {}}, r"storage\.ceph-a\.adresses: unknown key; did you mean 'addresses'"),
    ({"addresses": None}, r"storage\.ceph-a\.addresses: is missing or empty"),
    ({"addresses": {"cn1": "10.0.1.0/24"}}, r"storage\.ceph-a\.addresses\.cn1: '10.0.1.0/24' is no address of one host"),
    ({"addresses": {"cn1": "127.0.0.1"}}, r"storage\.ceph-a\.addresses\.cn1: 127.0.0.1 is no address by which Ceph"),
    ({"addresses": {"cn*": "10.0.1.11"}}, r"storage\.ceph-a\.addresses\.cn\*: all its hosts would have the same address"),
    ({"addresses": {"cn*": "storage.example.org"}}, r"storage\.ceph-a\.addresses\.cn\*: all its hosts would have the same address"),
    ({"addresses": {"cn1": "10.0.1.11", "cn2": "10.0.1.11"}}, r"storage\.ceph-a\.addresses\.cn2: has the same address as cn1"),
    ({"user": "client.hanode"}, r"storage\.ceph-a\.user: is written without the prefix: hanode"),
    ({"keyring": "/nowhere"}, r"storage\.ceph-a\.keyring: /nowhere is not a file"),
    ({"program": "ceph"}, r"storage\.ceph-a\.program: ceph must be the full path"),
    ({"expires_s": 60}, r"storage\.ceph-a\.expires_s: is 60; must be from 300"),
    ({"driver": "command", "program": None, "conf": None, "keyring": None, "addresses": None}, r"storage\.ceph-a\.kind: is missing"),
])
def test_a_mistake_is_named_with_file_key_and_remedy(ceph: FakeCeph, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"{ceph.directory}/fencing\.yaml: {said}"):
        read(ceph, **changes)


def test_an_open_keyring_is_refused(ceph: FakeCeph) -> None:
    """Whoever reads it can cut off every host of the cloud."""
    ceph.settings.keyring.chmod(0o644)
    with pytest.raises(ConfigError, match=r"keyring: .* can be used by others"):
        read(ceph)


def test_the_programs_of_another_store_are_described(tmp_path: Path) -> None:
    """A program that is not told for how long cuts until it is told otherwise."""
    filer = FakeFiler(tmp_path)
    words = {name: [str(tmp_path / name), "{host}"] for name in ("cut", "restore", "status")}
    file = tmp_path / "fencing.yaml"
    file.write_text(yaml.safe_dump({"storage": {"nfs": {"driver": "command", "kind": "file", "proof": "storage", **words}}}))
    plan = load(file).stores.plans()["nfs"]
    assert (plan.kind, plan.expires_s, plan.by_hand) == ("file", 0.0, f"`{tmp_path}/restore {{host}}`")
    assert filer.get("argv") == "", "nothing is run when the file is read"
    file.write_text(yaml.safe_dump({"storage": {"nfs": {"driver": "command", "kind": "file", "expires_s": 600, **words}}}))
    with pytest.raises(ConfigError, match="the program `cut` is not told it"):
        load(file)
