"""What are the traps of Redfish? Answers that mean something else, other systems, redirects, TLS, and threads."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.settings import RedfishSettings
from hanode.core.facts import Power
from hanode.errors import Ambiguous, Refused, Unreachable
from tests.contract.bmcs import (
    HOST,
    SESSIONS,
    STRANGER,
    SYSTEM,
    UUID,
    RedfishBmc,
    devices,
    never,
    password_file,
    self_signed,
    wait_until,
    with_timeout,
)


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


@pytest.mark.parametrize("status", [400, 409])
def test_a_refused_off_of_an_off_system_is_accepted(redfish: RedfishBmc, status: int) -> None:
    """iDRAC answers 409 to turning off what is off; without this a dead host would never be proven dead."""
    redfish.state, redfish.status = "Off", {"POST": status}
    devices(redfish.settings).power_off(HOST, never)


@pytest.mark.parametrize("state", ["On", "PoweringOff", None])
@pytest.mark.parametrize("status", [400, 409])
def test_a_refused_off_of_anything_but_off_is_refused(redfish: RedfishBmc, status: int, state: object) -> None:
    """Nearly off is not off."""
    redfish.state, redfish.status = state, {"POST": status}
    with pytest.raises(Refused, match="as the test wants it"):
        devices(redfish.settings).power_off(HOST, never)


@pytest.mark.parametrize(("status", "expected"), [
    (200, None), (202, None), (401, Refused), (403, Refused), (404, Refused),
    (307, Ambiguous), (500, Ambiguous), (503, Ambiguous),
])
def test_each_answer_to_an_order_has_its_meaning(redfish: RedfishBmc, status: int, expected: type[Exception] | None) -> None:
    """Accepted, refused, or unknown: a server error may come after the deed."""
    redfish.status = {"POST": status}
    if expected is None:
        devices(redfish.settings).power_off(HOST, never)
    else:
        with pytest.raises(expected):
            devices(redfish.settings).power_off(HOST, never)


@pytest.mark.parametrize(("status", "expected"), [(404, Refused), (307, Refused), (500, Unreachable)])
def test_each_answer_to_a_reading_has_its_meaning(redfish: RedfishBmc, status: int, expected: type[Exception]) -> None:
    """Before an order nothing can have happened."""
    redfish.status = {"GET": status}
    with pytest.raises(expected):
        devices(redfish.settings).power_off(HOST, never)
    assert redfish.orders() == 0


@pytest.mark.parametrize("state", ["PoweringOff", "PoweringOn", "Paused", "off", "", None, 0])
def test_only_the_exact_state_is_off(redfish: RedfishBmc, state: object) -> None:
    """PoweringOff can take a minute, in which the guests still write."""
    redfish.state = state
    assert devices(redfish.settings).read_power(HOST) is Power.OTHER


def test_a_wrong_serial_is_refused(redfish: RedfishBmc) -> None:
    """The same guard as the uuid, for machines whose label is easier to read."""
    assert isinstance(redfish.settings, RedfishSettings)
    with pytest.raises(Refused, match="serial ABC1234, expected XYZ"):
        devices(dataclasses.replace(redfish.settings, serial="XYZ")).power_off(HOST, never)
    devices(dataclasses.replace(redfish.settings, serial="ABC1234")).power_off(HOST, never)
    assert redfish.orders() == 1


def test_the_reset_is_posted_where_the_system_says(redfish: RedfishBmc) -> None:
    """The path of the action is the vendor's choice."""
    redfish.target = f"{SYSTEM}/Actions/Oem/Reset"
    devices(redfish.settings).power_off(HOST, never)
    assert ("POST", redfish.target) in redfish.requests


@pytest.mark.parametrize("target", [
    "/redfish/v1/Systems/2/Actions/ComputerSystem.Reset",
    "/redfish/v1/Systems/10/Actions/ComputerSystem.Reset",
    f"{SYSTEM}/../2/Actions/ComputerSystem.Reset",
    f"http://192.0.2.1{SYSTEM}/Actions/ComputerSystem.Reset",
])
def test_a_reset_of_another_system_is_never_posted(redfish: RedfishBmc, target: str) -> None:
    """A BMC may serve several machines, and only one of them has failed."""
    redfish.target = target
    with pytest.raises(Refused, match="outside of this system"):
        devices(redfish.settings).power_off(HOST, never)
    assert redfish.orders() == 0


def test_a_redirect_is_not_followed(redfish: RedfishBmc) -> None:
    """It could lead the password, and the order, to another machine."""
    redfish.status, redfish.location = {"GET": 308}, f"{SYSTEM}/elsewhere"
    with pytest.raises(Refused, match=r"redirects to .*elsewhere"):
        devices(redfish.settings).read_power(HOST)
    assert redfish.requests == [("GET", SYSTEM)]


def test_something_that_is_no_system_is_refused(redfish: RedfishBmc) -> None:
    """A page of HTML at that path would otherwise read as OTHER for ever."""
    redfish.status = {"GET": 200}
    with pytest.raises(Refused, match="correct 'system'"):
        devices(redfish.settings).read_power(HOST)


def test_an_order_given_up_while_reading_is_never_sent_later(redfish: RedfishBmc) -> None:
    """The thread that is left behind wakes up after the deposition: it must not power off then."""
    redfish.hangs = {"GET"}
    with pytest.raises(Ambiguous, match="aborted before"):
        devices(redfish.settings).power_off(HOST, abort=lambda: len(redfish.requests) > 0)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("fencing redfish")]
    redfish.hangs = set()
    redfish.released.set()
    for thread in threads:
        thread.join()
    assert redfish.orders() == 0


def test_a_trickling_answer_does_not_outlast_the_deadline(redfish: RedfishBmc) -> None:
    """A timeout between two bytes would never fire; the deadline is for the whole call."""
    redfish.trickles = True
    with pytest.raises(Unreachable, match=r"no answer within 3 s"):
        devices(with_timeout(redfish.settings, 3.0)).read_power(HOST)


def test_an_untrusted_certificate_gets_no_password(redfish_tls: RedfishBmc) -> None:
    """Else whoever takes the address of a BMC collects passwords, and declares hosts dead."""
    assert isinstance(redfish_tls.settings, RedfishSettings)
    with pytest.raises(Refused, match="ca_file"):
        devices(dataclasses.replace(redfish_tls.settings, ca_file=None)).power_off(HOST, never)
    assert redfish_tls.logins == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_verification_can_be_switched_off(redfish_tls: RedfishBmc) -> None:
    """Only by writing it down."""
    assert isinstance(redfish_tls.settings, RedfishSettings)
    assert devices(dataclasses.replace(redfish_tls.settings, ca_file=None, verify=False)).read_power(HOST) is Power.ON


def test_the_environment_changes_nothing(redfish_tls: RedfishBmc, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests would take proxies, and another certificate authority in place of ca_file, from there."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert devices(redfish_tls.settings).read_power(HOST) is Power.ON


def test_a_password_outside_of_latin_1_arrives(redfish: RedfishBmc, tmp_path: Path) -> None:
    """Basic authentication is sent as UTF-8."""
    redfish.password = "pässwörd-密"
    other = tmp_path / "other"
    other.mkdir()
    settings = dataclasses.replace(redfish.settings, secret=password_file(other, redfish.password))
    assert devices(settings).read_power(HOST) is Power.ON


# --------------------------------------------------------------------------- sessions


@pytest.fixture
def session(redfish: RedfishBmc) -> RedfishBmc:
    assert isinstance(redfish.settings, RedfishSettings)
    redfish.settings = dataclasses.replace(redfish.settings, session=True)
    return redfish


def test_a_session_is_given_back(session: RedfishBmc) -> None:
    """A BMC has a handful of them, and they last for half an hour."""
    fencer = devices(session.settings)
    fencer.power_off(HOST, never)
    assert fencer.read_power(HOST) is Power.OFF
    assert session.sessions == 0
    assert [method for method, path in session.requests if path.startswith(SESSIONS)] == ["POST", "DELETE"] * 2


def test_a_session_is_given_back_after_a_failure_too(session: RedfishBmc) -> None:
    """Else the failures of one night would lock everybody out in the next."""
    session.status = {"GET": 500}
    with pytest.raises(Unreachable):
        devices(session.settings).power_off(HOST, never)
    assert (session.sessions, session.orders()) == (0, 0)


def test_a_token_goes_only_to_the_bmc(session: RedfishBmc) -> None:
    """Whatever address the BMC gives its session: only the path of it is used."""
    session.location = "http://192.0.2.1/redfish/v1/SessionService/Sessions/1"
    assert devices(session.settings).read_power(HOST) is Power.ON
    assert ("DELETE", f"{SESSIONS}/1") in session.requests


# --------------------------------------------------------------------------- a BMC that others have written


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[RedfishSettings]:
    """The emulator of sushy-tools: its answers are those that OpenStack's own Redfish clients are tested with."""
    pytest.importorskip("sushy_tools", reason="not installed: sushy-tools (pip)")
    port = _free_port()
    machine = {"uuid": UUID, "name": "cn1", "power_state": "On", "nics": []}
    file = tmp_path / "emulator.conf"
    file.write_text(f"SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n"
                    f"SUSHY_EMULATOR_STATE_DIR = {str(tmp_path)!r}\nSUSHY_EMULATOR_FAKE_DRIVER = True\n"
                    f"SUSHY_EMULATOR_FAKE_SYSTEMS = [{machine!r}]\n")
    program = Path(sys.executable).with_name("sushy-emulator")
    with subprocess.Popen([program, "--config", file, "--fake"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        yield RedfishSettings(host=HOST, url=f"http://127.0.0.1:{port}", system=f"/redfish/v1/Systems/{UUID}", username="hanode",
                              secret=password_file(tmp_path), timeout_s=20.0, uuid=UUID)
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_bmc_that_others_have_written_is_switched_off_and_on(emulator: RedfishSettings) -> None:
    """It takes some seconds for each change, as real ones do, and answers 204 long before."""
    fencer = devices(emulator)
    wait_until(lambda: says(fencer, Power.ON))
    fencer.power_off(HOST, never)
    wait_until(lambda: says(fencer, Power.OFF))
    fencer.power_off(HOST, never)
    fencer.power_on(HOST, never)
    wait_until(lambda: says(fencer, Power.ON))
    with pytest.raises(Refused, match="another machine"):
        devices(dataclasses.replace(emulator, uuid=STRANGER)).power_off(HOST, never)
    with pytest.raises(Refused, match="correct 'system'"):
        devices(dataclasses.replace(emulator, system=f"/redfish/v1/Systems/{STRANGER}", uuid="")).power_off(HOST, never)


def says(fencer: Devices, power: Power) -> bool:
    try:
        return fencer.read_power(HOST) is power
    except Unreachable:  # it is still starting
        return False
