"""Does `hanode fence check` find the device that would fail, before it is needed?"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanode.adapters.fencing.settings import CommandSettings, RedfishSettings
from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.cli.main import main
from hanode.core.records import Roster
from hanode.engine.codec import Epoch, Renewal
from hanode.engine.ledger import Ledger
from tests.contract.bmcs import STRANGER, RedfishBmc, password_file
from tests.contract.programs import ScriptedCommand
from tests.contract.stores import ADDRESSES, FakeCeph

NOW = "2026-03-09T03:00:00Z"


@pytest.fixture
def program(tmp_path: Path) -> ScriptedCommand:
    return ScriptedCommand(tmp_path)


def written(program: ScriptedCommand, hosts: list[str], **more: object) -> Path:
    assert isinstance(program.settings, CommandSettings)
    directory = program.directory
    device = {"driver": "command", "command": [program.settings.argv[0], "{host}", "{action}"],
              "password_file": str(password_file(directory / "secrets").file)}
    fencing = directory / "fencing.yaml"
    fencing.write_text(yaml.safe_dump({"hosts": dict.fromkeys(hosts, device) | more}))
    fencing.chmod(0o600)
    conf = directory / "hanode.conf"
    conf.write_text(f"[fencing]\nconfig_file = {fencing}\nconfig_dir = {directory}/none\n[journal]\nurl = sqlite:///{directory}/journal\n")
    return conf


def check(conf: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    said = io.StringIO()
    code = main(["fence", "check", *words, "--config-file", str(conf), "-f", "json"], stdout=said)
    return code, json.loads(said.getvalue() or "[]")


def test_a_device_that_answers_is_ok(program: ScriptedCommand) -> None:
    """It is only read: nothing is switched."""
    code, rows = check(written(program, ["cn1", "cn2"]))
    assert code == 0
    assert [(row["host"], row["level"], row["power"], row["result"]) for row in rows] == [("cn1", 1, "on", "ok"), ("cn2", 1, "on", "ok")]
    assert program.orders() == 0


def test_a_store_that_could_cut_hosts_off_is_asked_too(program: ScriptedCommand, tmp_path: Path) -> None:
    """Its credentials are needed in the one night in which no power device answers; who is cut off now is shown."""
    conf = written(program, ["cn1"])
    (tmp_path / "store").mkdir()
    ceph = FakeCeph(tmp_path / "store")
    store = {"driver": "blocklist", "program": str(ceph.settings.program), "conf": str(ceph.settings.conf),
             "keyring": str(ceph.settings.keyring), "addresses": {"cn1": list(ADDRESSES)}}
    file = program.directory / "fencing.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "storage": {"ceph-a": store}}))
    ceph.stores.cut("ceph-a", "cn1", 600, lambda: False)
    code, rows = check(conf)
    assert (code, rows[-1]["device"], rows[-1]["result"]) == (0, "store ceph-a", "ok")
    assert rows[-1]["warning"] == "only checked: its cut is no proof (proof: none); cut off now: cn1"
    ceph.put("fault", "dead")
    code, rows = check(conf)
    assert code == 1
    assert "TimedOut" in rows[-1]["result"]


def test_one_device_that_fails_ends_with_1_and_says_why(program: ScriptedCommand) -> None:
    """A timer can watch them, and the table names the remedy."""
    program.put("fault", "dead")
    code, (row,) = check(written(program, ["cn1"]))
    assert code == 1
    assert "no route to the device" in row["result"] and row["power"] == ""


def test_a_device_that_says_neither_on_nor_off_would_fail(program: ScriptedCommand) -> None:
    """It could never prove anything."""
    program.put("power", "perhaps")
    code, (row,) = check(written(program, ["cn1"]))
    assert (code, row["result"]) == (1, "it says neither on nor off")


def test_a_device_that_is_too_slow_for_a_proof_is_warned_about(program: ScriptedCommand) -> None:
    """A reading that is older than proof_s when it arrives is no proof: nothing would ever be evacuated on it."""
    conf = written(program, ["cn1"])
    conf.write_text(conf.read_text().replace("[fencing]", "[fencing]\nreading_gap_s = 0.5\nproof_s = 1"))
    program.program.write_text(program.program.read_text().replace("read -r password", "read -r password; sleep 0.8"))
    code, (row,) = check(conf)
    assert (code, row["result"]) == (0, "ok")
    assert "raise [fencing] proof_s" in row["warning"] and row["seconds"] >= 0.8


def test_only_the_named_hosts_are_asked(program: ScriptedCommand) -> None:
    """After a repair one wants to know of one."""
    code, rows = check(written(program, ["cn1", "cn2"]), "cn2")
    assert (code, [row["host"] for row in rows]) == (0, ["cn2"])


def test_a_host_without_a_device_would_fail(program: ScriptedCommand) -> None:
    """Mostly a typing error."""
    code, (row,) = check(written(program, ["cn1"]), "cn9")
    assert code == 1 and "host cn9 has no power device" in row["result"]


def test_a_host_that_is_switched_off_by_hand_is_shown_with_its_instruction(program: ScriptedCommand) -> None:
    """Nothing can be read, and nothing is wrong."""
    code, rows = check(written(program, [], cn7={"driver": "manual", "instruction": "pull the plug"}))
    assert code == 0
    assert "pull the plug" in rows[0]["warning"]


def met(conf: Path, roster: Roster) -> None:
    """What a leader has remembered of the devices."""
    ledger = Ledger(SqliteJournal(conf.parent / "journal", "default"), "the cloud")
    epoch, renewal = Epoch(1, "me", "controller1", NOW), Renewal(1, "me", 0, NOW, 15.0)
    guard = ledger.take_office(ledger.read_standing(), epoch, renewal)
    assert guard is not None
    ledger.load()
    ledger.commit(guard, roster=roster)


def of_a_bmc(bmc: RedfishBmc, directory: Path) -> Path:
    assert isinstance(bmc.settings, RedfishSettings)
    secret = password_file(directory)
    device = {"driver": "redfish", "url": bmc.settings.url, "system": bmc.settings.system, "username": "hanode",
              "password_file": str(secret.file), "timeout_s": 5}
    fencing = directory / "fencing.yaml"
    fencing.write_text(yaml.safe_dump({"hosts": {"cn1": device}}))
    fencing.chmod(0o600)
    conf = directory / "hanode.conf"
    conf.write_text(f"[fencing]\nconfig_file = {fencing}\nconfig_dir = {directory}/none\n[journal]\nurl = sqlite:///{directory}/journal\n")
    return conf


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[RedfishBmc]:
    made = RedfishBmc(tmp_path)
    yield made
    made.stop()


def test_another_machine_than_at_first_contact_is_found(bmc: RedfishBmc, tmp_path: Path) -> None:
    """A board was replaced, or the address is another's: it would be refused in the night it is needed."""
    conf = of_a_bmc(bmc, tmp_path)
    met(conf, Roster(identities={"cn1": {bmc.settings.device: f"uuid {bmc.uuid}"}}))
    code, (row,) = check(conf)
    assert (code, row["result"], row["identity"]) == (0, "ok", f"uuid {bmc.uuid}")
    bmc.uuid = STRANGER
    code, (row,) = check(conf)
    assert code == 1 and "another device than at first contact" in row["result"] and row["identity"] == f"uuid {STRANGER}"


def test_a_device_that_is_not_believed_would_fail(bmc: RedfishBmc, tmp_path: Path) -> None:
    """It answers, and its answer does not count."""
    conf = of_a_bmc(bmc, tmp_path)
    met(conf, Roster(quarantined={"cn1": "it read off beside a heartbeat"}))
    code, (row,) = check(conf)
    assert (code, row["power"], row["result"]) == (1, "on", "not believed: it read off beside a heartbeat")


def test_a_wrong_password_is_told_from_a_dead_device(bmc: RedfishBmc, tmp_path: Path) -> None:
    """Their remedies lie far apart."""
    conf = of_a_bmc(bmc, tmp_path)
    bmc.change_password("another")
    code, (row,) = check(conf)
    assert code == 1 and "refused user hanode (401)" in row["result"]


def test_a_device_that_never_answers_costs_no_more_than_its_time(bmc: RedfishBmc, tmp_path: Path) -> None:
    """It is given up by its own timeout_s, and told as such."""
    conf = of_a_bmc(bmc, tmp_path)
    bmc.hangs = {"GET"}
    code, (row,) = check(conf)
    assert code == 1 and "no order was sent" in row["result"]


def test_without_a_journal_devices_are_tried_all_the_same(program: ScriptedCommand, capsys: pytest.CaptureFixture[str]) -> None:
    """A sick etcd is when one wants to know that fencing works; only identities are then not compared."""
    code, (row,) = check(written(program, ["cn1"]))
    assert (code, row["result"]) == (0, "ok")
    assert "identities are not compared with those of first contact" in capsys.readouterr().err


def test_a_wrong_fencing_file_ends_with_2(program: ScriptedCommand, capsys: pytest.CaptureFixture[str]) -> None:
    """As every wrong configuration does."""
    conf = written(program, ["cn1"], cn2={"driver": "impi"})
    code, _ = check(conf)
    assert code == 2
    assert "hosts.cn2.driver: unknown driver 'impi'" in capsys.readouterr().err
