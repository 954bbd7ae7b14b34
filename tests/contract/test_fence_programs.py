"""What are the traps of devices behind programs? Ends that mean nothing, words that leak, and real agents of Debian."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hanode.adapters.fencing import metadata
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.secret import Secret
from hanode.adapters.fencing.settings import AgentSettings
from hanode.core.facts import Power
from hanode.errors import Ambiguous, Refused, Unreachable
from tests.contract.bmcs import HOST, PASSWORD, devices, never, wait_until, with_timeout
from tests.contract.ipmi_bmcs import SimulatedIpmi
from tests.contract.programs import Scripted, ScriptedAgent, ScriptedCommand
from tests.contract.test_ipmi import is_dead


@pytest.fixture
def agent(tmp_path: Path) -> ScriptedAgent:
    return ScriptedAgent(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> ScriptedCommand:
    return ScriptedCommand(tmp_path)


@pytest.fixture(params=["agent", "command"])
def program(request: pytest.FixtureRequest) -> Scripted:
    double: Scripted = request.getfixturevalue(request.param)
    return double


def test_the_password_is_in_no_argument_and_no_environment(program: Scripted) -> None:
    """It goes through standard input, where no other user of the machine can look."""
    devices(program.settings).power_off(HOST, never)
    assert program.get("argv") != ""
    assert PASSWORD not in program.get("argv")
    assert PASSWORD not in program.get("environment")
    assert PASSWORD not in repr(program.settings)


def test_an_abort_kills_the_program_and_its_children(program: Scripted) -> None:
    """What is left running could still reach the device after another leader took over."""
    program.hang_on_order()
    with pytest.raises(Ambiguous):
        devices(with_timeout(program.settings, 3600.0)).power_off(HOST, abort=lambda: program.get("child").strip() != "")
    wait_until(lambda: is_dead(int(program.get("child"))))


# --------------------------------------------------------------------------- fence agents


def test_the_protocol_is_key_and_value_by_line(agent: ScriptedAgent) -> None:
    """Action, options and password, once each; the agent's default action would be a reboot."""
    devices(agent.settings).read_power(HOST)
    assert sorted(agent.get("told").split()) == ["action=status", "ip=pdu1", f"password={PASSWORD}", "plug=1"]
    assert agent.get("argv").strip() == ""


@pytest.mark.parametrize(("ends", "state", "expected"), [
    ("1", "off", None),
    ("1", "on", Ambiguous),
    ("5", "on", Ambiguous),
    ("0", "on", None),
])
def test_an_order_is_judged_by_the_state_after_it(agent: ScriptedAgent, ends: str, state: str, expected: type[Exception] | None) -> None:
    """An agent ends with 1 alike when it could not connect and when it could not verify."""
    if state == "on":
        agent.lie()
    agent.put("ends", ends)
    if expected is None:
        devices(agent.settings).power_off(HOST, never)
    else:
        with pytest.raises(expected, match="the order may have arrived"):
            devices(agent.settings).power_off(HOST, never)
    assert agent.orders() == 1


def test_what_cannot_be_reached_gets_no_order(agent: ScriptedAgent) -> None:
    """The state is read first: so a dead power strip is certain to have done nothing, and the next level need not wait."""
    agent.vanish()
    with pytest.raises(Unreachable, match="no order was sent"):
        devices(agent.settings).power_off(HOST, never)
    assert agent.orders() == 0


def test_what_is_off_gets_no_order(agent: ScriptedAgent) -> None:
    """Some strips switch twice on two orders."""
    agent.put("power", "off")
    devices(agent.settings).power_off(HOST, never)
    assert agent.orders() == 0


def test_the_code_for_off_is_not_believed_without_the_word(agent: ScriptedAgent) -> None:
    """2 is also how many programs end that were called wrongly: a wrong option would prove every host dead."""
    agent.put("fault", "usage")
    assert devices(agent.settings).read_power(HOST) is Power.OTHER


def test_an_agent_that_tells_the_password_is_not_repeated(agent: ScriptedAgent) -> None:
    """Its last line goes into our log."""
    agent.put("fault", "leak")
    with pytest.raises(Unreachable, match=r"cannot log in as \*\*\*") as caught:
        devices(agent.settings).read_power(HOST)
    assert PASSWORD not in str(caught.value)


def test_the_options_are_the_agents_own_words(agent: ScriptedAgent) -> None:
    """A former name is no option of its own: one outlet has one name."""
    options = metadata.options_of(agent.program)
    assert options["plug"].required and options["plug"].former_name == "port"
    assert "port" not in options and "passwd" not in options


# --------------------------------------------------------------------------- commands


@pytest.mark.parametrize(("ends", "expected"), [("0", None), ("3", Refused), ("4", Unreachable), ("5", Refused), ("1", Ambiguous),
                                                ("2", Ambiguous), ("127", Ambiguous)])
def test_each_end_of_a_command_has_its_documented_meaning(command: ScriptedCommand, ends: str, expected: type[Exception] | None) -> None:
    """Only the codes of the protocol promise that nothing happened."""
    command.put("ends", ends)
    if expected is None:
        devices(command.settings).power_off(HOST, never)
    else:
        with pytest.raises(expected):
            devices(command.settings).power_off(HOST, never)


@pytest.mark.parametrize("said", ["", "OFF", "off, or so", "turned off", "unknown"])
def test_only_the_exact_word_is_off(command: ScriptedCommand, said: str) -> None:
    """A false off lets an instance run twice."""
    command.put("power", said + "\n")
    assert devices(command.settings).read_power(HOST) is Power.OTHER


def test_a_missing_program_is_named_with_its_remedy(program: Scripted) -> None:
    """Removed after the start: found by its next use, and not understood as a dead device."""
    program.program.unlink()
    with pytest.raises(Refused, match=rf"install {program.program.name}"):
        devices(program.settings).power_off(HOST, never)


# --------------------------------------------------------------------------- agents that others have written


def installed(name: str) -> Path:
    program = metadata.find(name)
    if program is None:
        pytest.skip(f"not installed: {name} (Debian: fence-agents)")
    return program


def test_a_real_agent_is_understood(tmp_path: Path) -> None:
    """fence_dummy keeps its state in a file: its words, its codes and its metadata are those of the whole package."""
    program, state = installed("fence_dummy"), tmp_path / "state"
    state.write_text("on")
    assert {"status_file", "action"} <= set(metadata.options_of(program))
    found = devices(AgentSettings(host=HOST, agent=program, options={"status_file": str(state)}))
    assert found.read_power(HOST) is Power.ON
    found.power_off(HOST, never)
    assert state.read_text() == "off"
    assert found.read_power(HOST) is Power.OFF
    found.power_on(HOST, never)
    assert found.read_power(HOST) is Power.ON


def test_a_real_agent_that_fails_is_no_off(tmp_path: Path) -> None:
    """`--type=fail` is how fence_dummy plays a device that refuses."""
    options = {"status_file": str(tmp_path / "state"), "type": "fail"}
    (tmp_path / "state").write_text("on")
    with pytest.raises((Unreachable, Ambiguous)):
        devices(AgentSettings(host=HOST, agent=installed("fence_dummy"), options=options)).power_off(HOST, never)


def test_a_real_agent_drives_a_real_bmc(tmp_path: Path) -> None:
    """fence_ipmilan through ipmitool against OpenIPMI's simulator."""
    program = installed("fence_ipmilan")
    if missing := SimulatedIpmi.missing():
        pytest.skip(f"not installed: {missing} (Debian: ipmitool, openipmi)")
    bmc = SimulatedIpmi(tmp_path)
    try:
        options = {"ip": "127.0.0.1", "ipport": str(bmc.port), "username": "hanode", "lanplus": "1", "cipher": "3", "power_wait": "0"}
        found = devices(AgentSettings(host=HOST, agent=program, options=options, secret=bmc.settings.secret))
        wait_until(lambda: answers(found))
        found.power_off(HOST, never)
        assert (bmc.power(), found.read_power(HOST)) == ("off", Power.OFF)
        wrong = Secret(where="", value="wrong")
        with pytest.raises(Unreachable):
            devices(AgentSettings(host=HOST, agent=program, options=options, secret=wrong)).read_power(HOST)
    finally:
        bmc.stop()


def answers(found: Devices) -> bool:
    try:
        return found.read_power(HOST) is Power.ON
    except Unreachable:
        return False


def test_every_installed_agent_tells_its_options() -> None:
    """Whatever Debian ships can be configured, or says why not."""
    programs = [path for path in sorted(Path("/usr/sbin").glob("fence_a*")) if path.name != "fence_ack_manual" and shutil.which(path)]
    if not programs:
        pytest.skip("not installed: fence-agents")
    assert all("action" in metadata.options_of(program) for program in programs)
