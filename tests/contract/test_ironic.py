"""What are the traps of fencing through Ironic? Its word is a copy, its nodes are locked, and it looks away from those in maintenance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanode.adapters.fencing.config import load
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.settings import IronicSettings
from hanode.core.facts import Power
from hanode.errors import Ambiguous, ConfigError, Refused
from hanode.sim.cloud.ironic import node_uuid
from hanode.sim.world import BmcMode
from hanode.sim.world.ids import uuid_of
from tests.contract.bmcs import HOST, STRANGER, config, devices, never, wait_until, with_timeout
from tests.contract.ironic_nodes import IronicNode


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[IronicNode]:
    found = IronicNode(monkeypatch)
    yield found
    found.stop()


def settings(double: IronicNode, **changes: str) -> IronicSettings:
    assert isinstance(double.settings, IronicSettings)
    return dataclasses.replace(double.settings, **changes)  # type: ignore[arg-type]


def test_a_reading_is_ironics_copy_and_an_order_is_not(node: IronicNode) -> None:
    """The machine runs while the database says off: only the order looks, and it looks twice."""
    node.row.power_state = "power off"
    fencer = devices(node.settings)
    assert (fencer.read_power(HOST), node.power()) == (Power.OFF, "on")
    fencer.power_off(HOST, never)
    assert (fencer.read_power(HOST), node.power()) == (Power.OFF, "off")
    assert node.orders() == 2


def test_the_core_is_told_that_readings_are_copies(tmp_path: Path) -> None:
    """It believes off only after an off of its own; a level with one node of Ironic is such a level."""
    file = tmp_path / "fencing.yaml"
    file.write_text("hosts:\n  cn1: {driver: ironic, node: cn1}\n  cn2: {driver: manual, instruction: pull the plug}\n")
    assert [level.copies for level in load(file).plans()["cn1"].levels] == [True]


def test_a_machine_that_goes_on_running_is_no_success(node: IronicNode) -> None:
    """Ironic itself follows the order, and says that it has failed: perhaps later."""
    node.lie()
    fencer = devices(node.settings)
    with pytest.raises(Ambiguous, match="Failed to change power state"):
        fencer.power_off(HOST, never)
    assert fencer.read_power(HOST) is Power.ON


def test_an_off_after_which_the_bmc_could_not_be_asked_is_none(node: IronicNode) -> None:
    """The database keeps what it had, beside the error: it is not off by that."""
    node.row.power_state = "power off"
    node.misbehave(BmcMode.SILENT)
    fencer = devices(node.settings)
    with pytest.raises(Ambiguous, match="cannot be reached"):
        fencer.power_off(HOST, never)
    assert fencer.read_power(HOST) is Power.OTHER


def test_a_node_under_an_action_says_neither_on_nor_off(node: IronicNode) -> None:
    """What it will be is not what it is."""
    node.row.power_state, node.row.target_power_state = "power off", "power on"
    assert devices(node.settings).read_power(HOST) is Power.OTHER


def test_a_locked_node_is_waited_for(node: IronicNode) -> None:
    """A sweep holds it for a moment."""
    node.row.reservation = "conductor-2"
    attempts: list[bool] = []

    def unlock_soon() -> bool:
        attempts.append(True)
        if len(attempts) == 3:
            node.row.reservation = None
        return False

    devices(node.settings).power_off(HOST, unlock_soon)
    assert node.power() == "off"


def test_a_node_that_stays_locked_has_refused(node: IronicNode) -> None:
    """A conductor that died with the lock: certainly nothing was ordered, so the next level need not wait."""
    node.row.reservation = "conductor-2"
    with pytest.raises(Refused, match=r"was locked all the time.*conductor-2"):
        devices(with_timeout(node.settings, 3.0)).power_off(HOST, never)
    assert node.orders() == 0


def test_a_node_in_maintenance_is_neither_read_nor_ordered(node: IronicNode) -> None:
    """No sweep looks at it: what the database says may be of last week."""
    node.row.maintenance, node.row.maintenance_reason = True, "new PSU"
    fencer = devices(node.settings)
    for use in (lambda: fencer.read_power(HOST), lambda: fencer.power_off(HOST, never)):
        with pytest.raises(Refused, match=r"is in maintenance \(new PSU\)"):
            use()
    assert node.orders() == 0
    assert "is in maintenance" in fencer.check(HOST)[0].fault


@pytest.mark.parametrize("what", ["uuid", "instance_uuid"])
def test_the_node_of_another_machine_is_refused_before_the_order(node: IronicNode, what: str) -> None:
    """Names are given anew: the node that is called so now may be another."""
    right = {"uuid": node_uuid(HOST), "instance_uuid": uuid_of("metal", HOST)}
    assert devices(settings(node, **{what: right[what]})).read_power(HOST) is Power.ON
    with pytest.raises(Refused, match=rf"another machine \({what} .*expected {STRANGER}"):
        devices(settings(node, **{what: STRANGER})).power_off(HOST, never)
    assert (node.orders(), node.power()) == (0, "on")


def test_the_node_that_was_met_first_is_required_ever_after(node: IronicNode) -> None:
    """As of a BMC."""
    fencer = devices(node.settings)
    (checked,) = fencer.check(HOST)
    assert checked.identity == f"uuid {node_uuid(HOST)}"
    fencer.expect({HOST: {checked.device: f"uuid {STRANGER}"}})
    with pytest.raises(Refused, match="another machine"):
        fencer.read_power(HOST)


def test_a_node_that_does_not_exist_is_named(node: IronicNode) -> None:
    """A typing error in fencing.yaml."""
    with pytest.raises(Refused, match=r"Node nobody could not be found"):
        devices(settings(node, node="nobody")).read_power(HOST)


def test_the_sweep_brings_the_truth_after_a_while(node: IronicNode) -> None:
    """Somebody pulled the plug: the database learns of it within sync_power_state_interval."""
    node.cloud.live.run(lambda world: world.hosts.power_off(HOST, "by a hand"))
    fencer = devices(node.settings)
    wait_until(lambda: fencer.read_power(HOST) is Power.OFF)


def test_without_a_way_to_the_cloud_nothing_is_claimed() -> None:
    """A daemon that is not connected yet."""
    with pytest.raises(Refused, match="nobody here speaks to Ironic"):
        Devices(config(IronicSettings(HOST, HOST))).read_power(HOST)


@pytest.mark.parametrize(("entry", "said"), [
    ("{driver: ironic}", "node: is missing"),
    ("{driver: ironic, node: cn1, uuid: cn1}", "'cn1' is not a UUID"),
    ("{driver: ironic, node: cn1, username: admin}", "username: unknown key"),
    ("{driver: ironic, node: cn1, outlet: true}", "outlet: unknown key"),
    ("{driver: agent, agent: fence_ironic}", "use driver ironic"),
])
def test_a_wrong_entry_is_named_with_its_remedy(tmp_path: Path, entry: str, said: str) -> None:
    """At the start, and not in the night in which it is needed."""
    file = tmp_path / "fencing.yaml"
    file.write_text(f"hosts:\n  cn1: {entry}\n")
    with pytest.raises(ConfigError, match=said):
        load(file)
