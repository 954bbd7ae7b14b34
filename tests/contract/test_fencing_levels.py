"""Do several devices of one host act as one, and do many hosts leave each other's devices alone?"""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hanode.adapters.fencing.config import FencingConfig
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.logins import RARELY_S, Logins
from hanode.adapters.fencing.secret import Secret
from hanode.adapters.fencing.settings import AgentSettings, CommandSettings, HostDevices, Settings
from hanode.core.facts import DeviceCheck, Power
from hanode.errors import Ambiguous, Refused, Unreachable
from tests.contract.bmcs import HOST, PASSWORD, config, devices, never, wait_until
from tests.contract.programs import ScriptedAgent, ScriptedCommand


@pytest.fixture
def outlets(tmp_path: Path) -> tuple[ScriptedAgent, ScriptedAgent]:
    found = []
    for name in ("a", "b"):
        directory = tmp_path / name
        directory.mkdir()
        agent = ScriptedAgent(directory)
        assert isinstance(agent.settings, AgentSettings)
        agent.settings = dataclasses.replace(agent.settings, options={"ip": f"pdu-{name}", "plug": "1"})
        found.append(agent)
    return found[0], found[1]


@pytest.fixture
def bmc(tmp_path: Path) -> ScriptedCommand:
    return ScriptedCommand(tmp_path)


def fencer(*levels: tuple[Settings, ...]) -> Devices:
    return Devices(FencingConfig(hosts={HOST: HostDevices(levels)}))


# --------------------------------------------------------------------------- one level


def test_one_call_uses_one_level_and_leaves_the_others_alone(bmc: ScriptedCommand, outlets: tuple[ScriptedAgent, ScriptedAgent]) -> None:
    """Which level comes next is judged anew by somebody else."""
    found = fencer((bmc.settings,), (outlets[0].settings, outlets[1].settings))
    found.power_off(HOST, never, 2)
    assert (bmc.power(), outlets[0].power(), outlets[1].power()) == ("on", "off", "off")
    assert (found.read_power(HOST), found.read_power(HOST, 2)) == (Power.ON, Power.OFF)
    found.power_on(HOST, never, 2)
    assert (outlets[0].power(), outlets[1].power(), bmc.orders()) == ("on", "on", 0)


def test_a_level_reads_off_only_when_each_device_does(outlets: tuple[ScriptedAgent, ScriptedAgent]) -> None:
    """The second outlet still feeds the host."""
    first, second = outlets
    second.lie()
    found = fencer((first.settings, second.settings))
    found.power_off(HOST, never)
    assert (first.power(), second.power()) == ("off", "on")
    assert found.read_power(HOST) is Power.ON


def test_a_level_with_a_device_that_cannot_be_read_is_not_off(outlets: tuple[ScriptedAgent, ScriptedAgent]) -> None:
    """Half a proof is none; but one that reads on needs no other."""
    first, second = outlets
    found = fencer((first.settings, second.settings))
    first.put("power", "off")
    second.vanish()
    with pytest.raises(Unreachable, match="pdu-b"):
        found.read_power(HOST)
    first.put("power", "on")
    assert found.read_power(HOST) is Power.ON


def test_a_level_whose_first_device_fails_has_done_nothing(outlets: tuple[ScriptedAgent, ScriptedAgent]) -> None:
    """The second one is not even asked, so the answer stays exact: nothing was sent."""
    first, second = outlets
    first.vanish()
    with pytest.raises(Unreachable, match="pdu-a"):
        fencer((first.settings, second.settings)).power_off(HOST, never)
    assert second.orders() == 0


def test_a_level_that_was_done_in_part_is_ambiguous(outlets: tuple[ScriptedAgent, ScriptedAgent]) -> None:
    """Refused and Unreachable promise that nothing happened; here one outlet is off already."""
    first, second = outlets
    second.vanish()
    with pytest.raises(Ambiguous, match=r"pdu-a.* accepted it, but .*pdu-b"):
        fencer((first.settings, second.settings)).power_off(HOST, never)
    assert first.power() == "off"


@pytest.mark.parametrize("level", [0, 2])
def test_a_level_that_is_not_described_is_refused(bmc: ScriptedCommand, level: int) -> None:
    """After a reload a leader may still have it in mind."""
    found = fencer((bmc.settings,))
    with pytest.raises(Refused, match=f"no power device at level {level}"):
        found.power_off(HOST, never, level)
    with pytest.raises(Refused, match=f"level {level}"):
        found.read_power(HOST, level)
    assert bmc.orders() == 0


# --------------------------------------------------------------------------- one power strip, many hosts


def test_two_outlets_of_one_strip_are_never_spoken_to_at_once(tmp_path: Path) -> None:
    """A strip has one session: the second login would throw the first one out, in the middle of its order."""
    strip = ScriptedAgent(tmp_path)
    assert isinstance(strip.settings, AgentSettings)
    hosts = [dataclasses.replace(strip.settings, host=f"cn{n}", options={"ip": "PDU1", "plug": str(n)}, timeout_s=120.0) for n in range(6)]
    found = devices(*hosts)
    with ThreadPoolExecutor(6) as pool:
        for order in [pool.submit(found.power_off, settings.host, never) for settings in hosts]:
            order.result()
    assert strip.orders() >= 1
    assert strip.most_at_once == 1


def test_two_strips_are_used_side_by_side(outlets: tuple[ScriptedAgent, ScriptedAgent]) -> None:
    """One that hangs holds up nobody else's host."""
    first, second = outlets
    first.hang_on_order()
    found = devices(dataclasses.replace(first.settings, timeout_s=3600.0), dataclasses.replace(second.settings, host="cn2"))
    let_go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(found.power_off, HOST, let_go.is_set)
        wait_until(lambda: first.orders() == 1)
        assert found.read_power("cn2") is Power.ON
        let_go.set()
        assert isinstance(running.exception(), Ambiguous)


# --------------------------------------------------------------------------- rotation of passwords


def rotated(directory: Path, *passwords: str) -> Secret:
    secret: Secret | None = None
    for number, password in reversed(list(enumerate(passwords))):
        file = directory / f"password{number}"
        file.write_text(password)
        file.chmod(0o600)
        secret = Secret(where="fencing.yaml: hosts.cn1.password_file", file=file, other=secret)
    assert secret is not None
    return secret


@pytest.mark.parametrize("passwords", [("old", PASSWORD), (PASSWORD, "new"), ("older", "old", PASSWORD)])
def test_during_a_rotation_the_next_password_is_tried(bmc: ScriptedCommand, tmp_path: Path, passwords: tuple[str, ...]) -> None:
    """A thousand BMCs are not changed in one moment, and a host may fail in that hour."""
    found = devices(dataclasses.replace(bmc.settings, secret=rotated(tmp_path, *passwords)))
    found.power_off(HOST, never)
    assert found.read_power(HOST) is Power.OFF
    assert bmc.orders() == 1


def test_a_password_that_is_gone_is_passed_over(bmc: ScriptedCommand, tmp_path: Path) -> None:
    """The old file is removed when the rotation ends; the configuration may follow later."""
    secret = rotated(tmp_path, "old", PASSWORD)
    (tmp_path / "password0").unlink()
    assert devices(dataclasses.replace(bmc.settings, secret=secret)).read_power(HOST) is Power.ON


def test_all_passwords_refused_is_refused(bmc: ScriptedCommand, tmp_path: Path) -> None:
    """Then the error is the last one's."""
    with pytest.raises(Refused, match="wrong password"):
        devices(dataclasses.replace(bmc.settings, secret=rotated(tmp_path, "old", "older"))).power_off(HOST, never)
    assert bmc.orders() == 0


# --------------------------------------------------------------------------- tests without need


def test_background_tests_stop_before_a_wrong_password_locks_every_account(bmc: ScriptedCommand, tmp_path: Path) -> None:
    """After three different devices in a row the password is at fault, and not a device."""
    secret = rotated(tmp_path, "not-this-one")
    wrong = several(bmc, secret, 5)
    found = devices(*wrong)
    said = [only(found.check(settings.host)).trouble for settings in wrong]
    assert ["wrong password" in text for text in said] == [True, True, True, False, False]
    assert ["not asked" in text for text in said] == [False, False, False, True, True]
    with pytest.raises(Refused, match="wrong password"):
        found.power_off("cn4", never)  # a real fence always tries
    (tmp_path / "password0").write_text(PASSWORD)
    assert only(found.check("cn4")).power is Power.ON, "the secret has changed"
    assert only(found.check("cn3")).power is Power.ON, "and one success ends the row"


def test_one_device_that_refuses_again_and_again_stops_nobody(bmc: ScriptedCommand, tmp_path: Path) -> None:
    """Its own password is wrong; the others of the same template go on being checked."""
    wrong = dataclasses.replace(bmc.settings, secret=rotated(tmp_path, "not-this-one"))
    found = devices(wrong)
    said = [only(found.check(HOST)).trouble for _ in range(5)]
    assert all("wrong password" in text for text in said)


def test_a_reload_ends_the_stop(bmc: ScriptedCommand, tmp_path: Path) -> None:
    """The operator has looked: perhaps it was the username."""
    secret = rotated(tmp_path, "not-this-one")
    wrong = several(bmc, secret, 4)
    found = devices(*wrong)
    for settings in wrong:
        found.check(settings.host)
    assert "not asked" in only(found.check("cn0")).trouble
    found.reload(config(*wrong))
    assert "wrong password" in only(found.check("cn0")).trouble


def test_after_hours_one_device_is_asked_again() -> None:
    """The account may have been mended at the devices, of which nobody tells us."""
    now = [0.0]
    logins = Logins(lambda: now[0])
    for device in ("a", "b", "c"):
        logins.refused("rack1", 1, device)
    assert logins.stopped("rack1", 1)
    now[0] += RARELY_S
    assert [logins.stopped("rack1", 1) for _ in range(3)] == [False, True, True]
    logins.accepted("rack1")
    assert not logins.stopped("rack1", 1)


def several(bmc: ScriptedCommand, secret: Secret, count: int) -> list[Settings]:
    """Devices of as many hosts, behind one program and with one password."""
    assert isinstance(bmc.settings, CommandSettings)
    argv = bmc.settings.argv
    return [dataclasses.replace(bmc.settings, host=f"cn{n}", argv=(*argv, str(n)), secret=secret) for n in range(count)]


def only(checked: tuple[DeviceCheck, ...]) -> DeviceCheck:
    (one,) = checked
    return one
