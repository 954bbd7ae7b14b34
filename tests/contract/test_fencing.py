"""Does every power device keep the promises of the Fencer port? One suite over all drivers."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hanode.adapters.fencing.config import FencingConfig
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.settings import IpmiSettings, RedfishSettings, Settings
from hanode.core.facts import Power
from hanode.errors import Ambiguous, Refused, Unreachable
from hanode.ports import Fencer
from tests.contract.bmcs import (
    HOST,
    PASSWORD,
    STRANGER,
    UUID,
    Bmc,
    RedfishBmc,
    config,
    devices,
    never,
    password_file,
    self_signed,
    wait_until,
    with_timeout,
)
from tests.contract.ipmi_bmcs import ScriptedIpmitool, SimulatedIpmi
from tests.contract.ironic_nodes import IronicNode
from tests.contract.programs import ScriptedAgent, ScriptedCommand


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedIpmitool:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return ScriptedIpmitool(tmp_path)


@pytest.fixture
def redfish(tmp_path: Path) -> Iterator[RedfishBmc]:
    bmc = RedfishBmc(tmp_path)
    yield bmc
    bmc.stop()


@pytest.fixture
def redfish_tls(tmp_path: Path) -> Iterator[RedfishBmc]:
    bmc = RedfishBmc(tmp_path, self_signed(tmp_path))
    yield bmc
    bmc.stop()


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedIpmi]:
    if missing := SimulatedIpmi.missing():
        pytest.skip(f"not installed: {missing} (Debian: ipmitool, openipmi)")
    bmc = SimulatedIpmi(tmp_path)
    wait_until(lambda: readable(bmc))
    yield bmc
    bmc.stop()


def readable(bmc: SimulatedIpmi) -> bool:
    assert bmc.runs(), "ipmi_sim ended at once: is its configuration wrong?"
    return answers(devices(with_timeout(bmc.settings, 3.0)))


def of_machine(bmc: Bmc, uuid: str) -> Settings:
    assert isinstance(bmc.settings, IpmiSettings | RedfishSettings)
    return dataclasses.replace(bmc.settings, uuid=uuid)


def answers(fencer: Devices) -> bool:
    try:
        fencer.read_power(HOST)
    except Unreachable:
        return False
    return True


@pytest.fixture
def redfish_session(redfish: RedfishBmc) -> RedfishBmc:
    assert isinstance(redfish.settings, RedfishSettings)
    redfish.settings = dataclasses.replace(redfish.settings, session=True)
    return redfish


@pytest.fixture
def agent(tmp_path: Path) -> ScriptedAgent:
    return ScriptedAgent(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> ScriptedCommand:
    return ScriptedCommand(tmp_path)


BMCS = ["redfish", "redfish_session", "redfish_tls", "scripted", "simulated"]


@pytest.fixture(params=BMCS)
def bmc(request: pytest.FixtureRequest) -> Bmc:
    """A device that tells who it is and whom it lets in."""
    double: Bmc = request.getfixturevalue(request.param)
    return double


@pytest.fixture
def ironic(monkeypatch: pytest.MonkeyPatch) -> Iterator[IronicNode]:
    node = IronicNode(monkeypatch)
    yield node
    node.stop()


PRIVATE = [*BMCS, "agent", "command"]


@pytest.fixture(params=PRIVATE)
def private(request: pytest.FixtureRequest) -> Bmc:
    """A device that is asked itself, with a password of its own."""
    double: Bmc = request.getfixturevalue(request.param)
    return double


@pytest.fixture(params=[*PRIVATE, "ironic"])
def device(request: pytest.FixtureRequest) -> Bmc:
    """Any device; of what stands behind a program, the program decides how much it tells."""
    double: Bmc = request.getfixturevalue(request.param)
    return double


def test_devices_are_a_fencer(device: Bmc) -> None:
    """The engine knows only the port."""
    fencer: Fencer = devices(device.settings)
    assert fencer.hosts() == {HOST}


def test_a_host_is_powered_off_and_then_reads_off(device: Bmc) -> None:
    """An order returns nothing; only the reading is proof."""
    fencer = devices(device.settings)
    assert fencer.read_power(HOST) is Power.ON
    fencer.power_off(HOST, never)
    assert device.power() == "off"
    assert fencer.read_power(HOST) is Power.OFF


def test_an_off_host_may_be_powered_off_again(device: Bmc) -> None:
    """Every off is repeated until it is proven; a repetition is no failure."""
    fencer = devices(device.settings)
    fencer.power_off(HOST, never)
    fencer.power_off(HOST, never)
    assert fencer.read_power(HOST) is Power.OFF


def test_a_host_is_powered_on(device: Bmc) -> None:
    """The policy `restart` brings a host back in place."""
    fencer = devices(device.settings)
    fencer.power_off(HOST, never)
    fencer.power_on(HOST, never)
    assert fencer.read_power(HOST) is Power.ON


def test_a_device_that_lies_reads_on(private: Bmc) -> None:
    """An accepted off is no proof: the driver passes on what the private shows, and others judge."""
    private.lie()
    fencer = devices(private.settings)
    fencer.power_off(HOST, never)
    assert private.orders() == 1
    assert fencer.read_power(HOST) is Power.ON


def test_a_wrong_password_is_refused_and_the_host_stays_on(bmc: Bmc, tmp_path: Path) -> None:
    """It is an operator's task, and not to be tried for ever: BMCs lock accounts out."""
    other = tmp_path / "other"
    other.mkdir()
    fencer = devices(dataclasses.replace(bmc.settings, secret=password_file(other, "wrong")))
    with pytest.raises(Refused, match="password"):
        fencer.power_off(HOST, never)
    with pytest.raises(Refused, match="password"):
        fencer.read_power(HOST)
    assert bmc.orders() == 0


def test_the_bmc_of_another_machine_is_refused_before_the_order(bmc: Bmc) -> None:
    """A swapped cable or a moved address must not kill a healthy host, nor prove a living one dead."""
    fencer = devices(of_machine(bmc, STRANGER))
    with pytest.raises(Refused, match=f"another machine .*expected {STRANGER}"):
        fencer.power_off(HOST, never)
    with pytest.raises(Refused, match="another machine"):
        fencer.read_power(HOST)
    assert bmc.orders() == 0
    assert bmc.power() == "on"


def test_the_bmc_of_the_right_machine_is_obeyed(bmc: Bmc) -> None:
    """Identity is compared by value: upper case and the byte orders of IPMI are no difference."""
    fencer = devices(of_machine(bmc, UUID))
    fencer.power_off(HOST, never)
    assert fencer.read_power(HOST) is Power.OFF


def test_a_dead_bmc_is_unreachable(device: Bmc) -> None:
    """Certainly nothing happened: that is different from not knowing, and from a refusal."""
    device.vanish()
    fencer = devices(with_timeout(device.settings, 5.0))
    with pytest.raises(Unreachable):
        fencer.power_off(HOST, never)
    with pytest.raises(Unreachable):
        fencer.read_power(HOST)


def test_an_order_without_an_answer_is_ambiguous(device: Bmc) -> None:
    """The host may be off or not: only a later reading tells."""
    device.hang_on_order()
    with pytest.raises(Ambiguous):
        devices(with_timeout(device.settings, 6.0)).power_off(HOST, never)
    assert device.orders() >= 1


def test_an_abort_ends_an_order_that_is_under_way(device: Bmc) -> None:
    """A deposed leader must let go at once, whatever time the device would still have."""
    device.hang_on_order()
    with pytest.raises(Ambiguous, match="aborted after"):
        devices(with_timeout(device.settings, 3600.0)).power_off(HOST, abort=lambda: device.orders() > 0)


def test_nothing_is_sent_after_an_abort(device: Bmc) -> None:
    """Deposed before it began: the new leader owns the host."""
    with pytest.raises(Ambiguous, match="aborted before"):
        devices(device.settings).power_off(HOST, abort=lambda: True)
    assert device.orders() == 0


def test_a_new_password_needs_no_restart(private: Bmc) -> None:
    """Rotating the secrets of a thousand BMCs must not touch the daemon."""
    fencer = devices(private.settings)
    assert fencer.read_power(HOST) is Power.ON
    private.change_password("changed")
    assert private.settings.secret is not None and private.settings.secret.file is not None
    private.settings.secret.file.write_text("changed\n")
    wait_until(lambda: answers(fencer))  # the simulator had to be started anew for it
    assert fencer.read_power(HOST) is Power.ON


def test_a_password_that_others_can_read_is_not_used(private: Bmc) -> None:
    """Loosened after the start: refused like any other wrong configuration, with the remedy."""
    assert private.settings.secret is not None and private.settings.secret.file is not None
    private.settings.secret.file.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        devices(private.settings).power_off(HOST, never)
    assert private.orders() == 0


def test_a_host_without_a_device_is_refused() -> None:
    """Never an error of ours, and never a silent success."""
    with pytest.raises(Refused, match=r"no power device.*fencing\.yaml"):
        Devices(FencingConfig()).power_off("cn9", never)


def test_a_reload_replaces_every_device(redfish: RedfishBmc) -> None:
    """A changed fencing.yaml counts from the next use on."""
    fencer = Devices(FencingConfig())
    fencer.reload(config(redfish.settings))
    assert fencer.hosts() == {HOST}
    assert fencer.read_power(HOST) is Power.ON


@pytest.mark.parametrize("kind", ["redfish", "scripted"])
def test_a_device_serves_one_call_at_a_time(kind: str, request: pytest.FixtureRequest) -> None:
    """BMCs have few sessions, and an off beside an on would have no meaning."""
    double: RedfishBmc | ScriptedIpmitool = request.getfixturevalue(kind)
    fencer = devices(with_timeout(double.settings, 120.0))
    with ThreadPoolExecutor(8) as pool:
        for reading in [pool.submit(fencer.read_power, HOST) for _ in range(8)]:
            assert reading.result() is Power.ON
    assert double.most_at_once == 1


def test_a_call_that_waits_for_its_turn_gives_up_having_sent_nothing(redfish: RedfishBmc) -> None:
    """Behind a device that hangs, the next order ends as Unreachable and not as Ambiguous."""
    redfish.hang_on_order()
    fencer = devices(with_timeout(redfish.settings, 3600.0))
    let_go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fencer.power_off, HOST, let_go.is_set)
        wait_until(lambda: redfish.orders() == 1)
        fencer.reload(config(with_timeout(redfish.settings, 0.2)))
        with pytest.raises(Unreachable, match="no order was sent"):
            fencer.power_on(HOST, never)
        let_go.set()
        assert isinstance(first.exception(), Ambiguous)
    assert redfish.orders() == 1


def test_no_error_holds_a_password(private: Bmc) -> None:
    """Errors are logged and shown."""
    private.vanish()
    with pytest.raises(Unreachable) as caught:
        devices(with_timeout(private.settings, 5.0)).power_off(HOST, never)
    assert PASSWORD not in repr(caught.value)


def test_two_devices_are_used_side_by_side(scripted: ScriptedIpmitool) -> None:
    """Hosts are fenced side by side: one that hangs must not hold up another."""
    assert isinstance(scripted.settings, IpmiSettings)
    scripted.hang_on_order()
    other = dataclasses.replace(scripted.settings, host="cn2", address="127.0.0.2")
    fencer = devices(with_timeout(scripted.settings, 3600.0), other)
    let_go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(fencer.power_off, HOST, let_go.is_set)
        wait_until(lambda: scripted.orders() == 1)
        assert fencer.read_power("cn2") is Power.ON
        let_go.set()
        assert isinstance(running.exception(), Ambiguous)


def test_a_bmc_that_lets_anybody_in_is_warned_about(simulated: SimulatedIpmi) -> None:
    """Cipher 0 asks for no password: whoever reaches the BMC's network can switch the host off."""
    (checked,) = devices(simulated.settings).check(HOST)
    assert checked.power is Power.ON
    assert "CVE-2013-4782" in checked.warning


def test_a_bmc_that_wants_a_password_is_not_warned_about(scripted: ScriptedIpmitool) -> None:
    """The question is asked with a wrong password, which it refuses."""
    (checked,) = devices(scripted.settings).check(HOST)
    assert (checked.power, checked.warning) == (Power.ON, "")


# --------------------------------------------------------------------------- identity


def test_a_check_tells_which_machine_a_bmc_belongs_to(bmc: Bmc) -> None:
    """It is remembered at first contact; a replaced board or a moved cable shows at the next check."""
    (checked,) = devices(bmc.settings).check(HOST)
    assert checked.identity.startswith("uuid ") and checked.fault == ""
    assert checked == dataclasses.replace(devices(bmc.settings).check(HOST)[0], took_s=checked.took_s), "the same each time"


def test_what_was_met_first_is_required_at_each_use(bmc: Bmc) -> None:
    """As if the operator had written it down; the same machine goes on being obeyed."""
    fencer = devices(bmc.settings)
    (checked,) = fencer.check(HOST)
    fencer.expect({HOST: {checked.device: checked.identity}})
    assert fencer.read_power(HOST) is Power.ON
    fencer.expect({HOST: {checked.device: f"uuid {STRANGER}"}})
    for use in (lambda: fencer.power_off(HOST, never), lambda: fencer.read_power(HOST)):
        with pytest.raises(Refused, match="belongs to another machine"):
            use()
    assert bmc.orders() == 0 and bmc.power() == "on"


def test_a_check_tells_the_truth_about_a_machine_that_was_not_expected(bmc: Bmc) -> None:
    """Else nobody could see which one it is now."""
    fencer = devices(bmc.settings)
    (before,) = fencer.check(HOST)
    fencer.expect({HOST: {before.device: f"uuid {STRANGER}"}})
    (checked,) = fencer.check(HOST)
    assert (checked.power, checked.identity) == (Power.ON, before.identity)


def test_what_the_operator_wrote_down_wins_over_what_was_met(bmc: Bmc) -> None:
    """He has replaced the board and corrected the file."""
    right = of_machine(bmc, UUID)
    fencer = devices(right)
    fencer.expect({HOST: {right.device: f"uuid {STRANGER}"}})
    assert fencer.read_power(HOST) is Power.ON
    assert fencer.check(HOST)[0].configured


def test_a_blank_identity_is_none(redfish: RedfishBmc) -> None:
    """Boards whose UUID nobody has set all tell the same; then the serial number tells them apart, if there is one."""
    redfish.uuid = "00000000-0000-0000-0000-000000000000"
    (checked,) = devices(redfish.settings).check(HOST)
    assert checked.identity == f"serial {redfish.serial}"
    fencer = devices(redfish.settings)
    fencer.expect({HOST: {checked.device: checked.identity}})
    assert fencer.read_power(HOST) is Power.ON
    redfish.serial = "XYZ"
    with pytest.raises(Refused, match="serial XYZ"):
        fencer.read_power(HOST)


@pytest.mark.parametrize("program", ["agent", "command"])
def test_what_stands_behind_a_program_has_no_identity_of_its_own(program: str, request: pytest.FixtureRequest) -> None:
    """An outlet cannot know what is plugged in."""
    double: Bmc = request.getfixturevalue(program)
    (checked,) = devices(double.settings).check(HOST)
    assert (checked.power, checked.identity) == (Power.ON, "")


def test_a_bmc_without_an_identity_is_no_worse_for_it(scripted: ScriptedIpmitool) -> None:
    """Nobody expected one."""
    scripted.put("guid", "")
    (checked,) = devices(scripted.settings).check(HOST)
    assert (checked.power, checked.identity, checked.fault) == (Power.ON, "", "")


def test_a_check_that_is_refused_says_so(bmc: Bmc) -> None:
    """It is not repeated soon: each try may lock the account."""
    bmc.change_password("another-one")
    (checked,) = devices(bmc.settings).check(HOST)
    assert checked.login_refused and checked.power is None and checked.fault


def test_a_check_of_a_dead_device_tells_why(device: Bmc) -> None:
    """And costs no more than the device's time."""
    device.vanish()
    (checked,) = devices(with_timeout(device.settings, 5.0)).check(HOST)
    assert checked.fault and not checked.login_refused and checked.power is None


def test_a_check_gives_way_to_whoever_needs_the_device_in_earnest(redfish: RedfishBmc) -> None:
    """A host that falls silent in the middle of its check must not wait for it."""
    redfish.hangs = {"GET"}
    fencer = devices(with_timeout(redfish.settings, 3600.0))
    with ThreadPoolExecutor(2) as pool:
        checking = pool.submit(fencer.check, HOST)
        wait_until(lambda: len(redfish.requests) == 1)
        reading = pool.submit(fencer.read_power, HOST)
        wait_until(checking.done)
        assert isinstance(checking.exception(), Unreachable) and "gave way" in str(checking.exception())
        redfish.released.set()
        assert reading.result() is Power.ON
