"""What are the traps of IPMI? The words of ipmitool, its processes, and the byte orders of a GUID."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hanode.adapters.fencing.ipmi import retries, same_guid
from hanode.adapters.fencing.settings import IpmiSettings
from hanode.core.facts import Power
from hanode.errors import Ambiguous, Refused, Unreachable
from tests.contract.bmcs import HOST, PASSWORD, STRANGER, UUID, devices, never, wait_until, with_timeout
from tests.contract.ipmi_bmcs import ScriptedIpmitool


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedIpmitool:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return ScriptedIpmitool(tmp_path)


def test_the_password_is_in_no_argument_and_no_environment(scripted: ScriptedIpmitool) -> None:
    """Arguments are readable for every user of the machine, and the environment for every process of ours."""
    devices(scripted.settings).power_off(HOST, never)
    assert "-f /dev/fd/" in scripted.get("argv")
    assert PASSWORD not in scripted.get("argv")
    assert PASSWORD not in scripted.get("environment")
    assert PASSWORD not in repr(scripted.settings)


def test_an_abort_kills_the_program_and_its_children(scripted: ScriptedIpmitool) -> None:
    """What is left running could still reach the BMC after another leader took over."""
    scripted.hang_on_order()
    with pytest.raises(Ambiguous):
        devices(with_timeout(scripted.settings, 3600.0)).power_off(HOST, abort=lambda: scripted.get("child").strip() != "")
    wait_until(lambda: is_dead(int(scripted.get("child"))))


def is_dead(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize(("says", "expected"), [
    ("Set Chassis Power Control to Down/Off failed: Insufficient privilege level", Refused),
    ("Set Chassis Power Control to Down/Off failed: Command not supported in present state", Refused),
    ("Set Chassis Power Control to Down/Off failed: Node busy", Refused),
    ("Set Chassis Power Control to Down/Off failed: Timeout", Ambiguous),
    ("Set Chassis Power Control to Down/Off failed: Cannot execute duplicated request", Ambiguous),
    ("Set Chassis Power Control to Down/Off failed: Unspecified error", Ambiguous),
    ("Unable to set Chassis Power Control to Down/Off\nClose Session command failed", Ambiguous),
    ("", Ambiguous),
])
def test_only_a_clear_no_after_the_order_is_a_refusal(scripted: ScriptedIpmitool, says: str, expected: type[Exception]) -> None:
    """Refused promises that nothing happened, so whatever is not known to promise that is ambiguous."""
    scripted.put("says", says + "\n")
    with pytest.raises(expected):
        devices(scripted.settings).power_off(HOST, never)


def test_turning_off_what_is_off_is_accepted_although_the_bmc_refuses(scripted: ScriptedIpmitool) -> None:
    """Some BMCs call it the wrong state; it is the state that was asked for."""
    scripted.put("says", "Set Chassis Power Control to Down/Off failed: Command not supported in present state\n")
    scripted.put("power", "off")
    devices(scripted.settings).power_off(HOST, never)


def test_a_bmc_without_a_free_session_is_unreachable(scripted: ScriptedIpmitool) -> None:
    """It says so in the words of a refused login, but the next try may succeed."""
    scripted.put("fault", "crowded")
    with pytest.raises(Unreachable, match="insufficient resources"):
        devices(scripted.settings).power_off(HOST, never)


def test_only_the_exact_word_is_off(scripted: ScriptedIpmitool) -> None:
    """A false off lets an instance run twice."""
    scripted.put("fault", "odd")
    assert devices(scripted.settings).read_power(HOST) is Power.OTHER


def test_a_bmc_that_tells_no_guid_does_not_pass_for_the_right_one(scripted: ScriptedIpmitool) -> None:
    """Whoever configured an identity wants it proven."""
    scripted.put("guid", "")
    assert isinstance(scripted.settings, IpmiSettings)
    with pytest.raises(Refused):
        devices(dataclasses.replace(scripted.settings, uuid=UUID)).power_off(HOST, never)
    assert scripted.orders() == 0


def test_a_missing_ipmitool_is_named_with_its_remedy(scripted: ScriptedIpmitool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the first test of the device, and not understood as a dead BMC."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refused, match="install ipmitool"):
        devices(scripted.settings).power_off(HOST, never)


@pytest.mark.parametrize(("timeout_s", "expected"), [(1.0, 1), (3.0, 1), (10.0, 2), (13.0, 3), (60.0, 4)])
def test_a_dead_bmc_is_given_up_before_the_deadline(timeout_s: float, expected: int) -> None:
    """ipmitool's own "no session" is Unreachable with certainty; so it must come before we have to kill it."""
    assert retries(timeout_s) == expected


@pytest.mark.parametrize("told", [
    "4c4c4544-0042-3510-8052-b4c04f4d4732",
    "44454c4c-4200-1035-8052-b4c04f4d4732",
    "32474d4f-c0b4-5280-1035-420044454c4c",
])
def test_a_guid_is_the_same_in_every_byte_order(told: str) -> None:
    """ipmitool guesses the order in which a BMC sends its GUID, and dmidecode may show another one."""
    assert same_guid(told, UUID)
    assert not same_guid(told, STRANGER)
