"""`hanode capacity`, `hanode plan` and `hanode host ok-to-stop` against the embedded cloud, over HTTP: what an operator really gets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.cli.main import main
from hanode.core.policy import Policy
from hanode.core.records import Roster
from hanode.engine.codec import Epoch, Renewal
from hanode.engine.ledger import Ledger
from hanode.engine.stocktake import take_stock
from hanode.errors import Unreachable
from hanode.sim.cloud import EmbeddedCloud, example_world
from hanode.sim.world import Part

HOSTS = ("cn1", "cn2", "cn3", "cn4")


@pytest.fixture
def embedded() -> Iterator[EmbeddedCloud]:
    cloud = EmbeddedCloud(example_world(hosts=4, domains=2, servers=12), speed=10.0, page_size=5)
    cloud.start()
    yield cloud
    cloud.stop()


@pytest.fixture
def config(embedded: EmbeddedCloud, tmp_path: Path) -> Path:
    (tmp_path / "fencing.yaml").write_text(embedded.fencing_yaml())
    (tmp_path / "fencing.yaml").chmod(0o600)
    given = embedded.credentials
    ledger = Ledger(SqliteJournal(tmp_path / "journal.db", "default"), f"{given['auth_url']} {given['region']}")
    guard = ledger.take_office(ledger.read_standing(), Epoch(1, "me", "controller1", ""), Renewal(1, "me", 0, "", 15.0))
    assert guard is not None
    ledger.load()
    ledger.commit(guard, roster=Roster(seen=frozenset(HOSTS)))
    file = tmp_path / "hanode.conf"
    file.write_text(f"""
[DEFAULT]
mode = act
[journal]
url = sqlite://{tmp_path}/journal.db
[keystone]
auth_url = {given['auth_url']}
username = {given['username']}
password = {given['password']}
project_name = {given['project']}
region_name = {given['region']}
interface = {given['interface']}
[fencing]
config_file = {tmp_path}/fencing.yaml
[brake]
failure_domain_keys = hanode:storage
""")
    file.chmod(0o600)
    return file


def run(config: Path, words: str) -> tuple[int, Any]:
    stdout = io.StringIO()
    code = main([*words.split(), "--config-file", str(config)], stdout=stdout)
    text = stdout.getvalue()
    return code, json.loads(text) if "-f json" in words else text


def test_capacity_answers_for_any_host_and_for_each_rack(config: Path) -> None:
    """One host fits into the other of its domain; a whole domain fits nowhere, because nobody else sees its disks."""
    code, rows = run(config, "capacity -f json")
    assert code == 1
    assert [(row["question"], row["holds"]) for row in rows] == [
        ("any 1 host fails", True), ("hanode:storage ceph-a fails", False), ("hanode:storage ceph-b fails", False)]
    assert "outside storage domain ceph-a" in rows[1]["left"][0]
    assert run(config, "capacity --failures 1 -f json")[0] == 0


def test_a_plan_names_the_fence_and_a_place_for_everybody(config: Path) -> None:
    """What would be done, before it has to be."""
    code, rows = run(config, "plan cn1 -f json")
    assert code == 0
    assert {row["step"] for row in rows} == {"gate", "fence", "restart", "duration"}
    assert {row["what"] for row in rows if row["step"] == "restart" and row["about"] == "vm1"} == {"from cn1 to cn2"}
    both = run(config, "plan --domain ceph-a -f json")[1]
    assert {row["about"] for row in both if row["step"] == "fence"} == {"cn1", "cn2"}


def test_ok_to_stop_is_an_exit_code(config: Path) -> None:
    """So that a script can ask before it drains."""
    assert run(config, "host ok-to-stop cn1") == (0, "yes: cn1 may be stopped\n")
    code, said = run(config, "host ok-to-stop cn1 cn2")
    assert code == 1 and "has no other place" in said


@pytest.mark.parametrize(("words", "said"), [
    ("plan", "name hosts, or --rack NAME, or --domain NAME: one of them"),
    ("plan cn9", "Nova knows no compute host cn9"),
    ("plan --rack r1", "no host shares 'r1'; known are: hanode:storage ceph-a, hanode:storage ceph-b"),
    ("plan --domain nfs", "no host belongs to the storage domain 'nfs'; known are: ceph-a, ceph-b"),
    ("host ok-to-stop cn9", "Nova knows no compute host cn9"),
])
def test_what_does_not_exist_is_refused_with_what_does(config: Path, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    """A rack that is misspelled must not read as a rack that may fail."""
    assert run(config, words)[0] == 1
    assert said in capsys.readouterr().err


def test_what_cannot_be_read_completely_gives_no_answer(embedded: EmbeddedCloud) -> None:
    """A list without the hosts of a silent cell would say yes."""
    cloud = OpenStackCloud(Credentials(**embedded.credentials))
    embedded.live.run(lambda world: world.control.fail(Part.CELL))
    with pytest.raises(Unreachable):
        take_stock(cloud, Policy(), at_once=3)
