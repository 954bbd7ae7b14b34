"""Whose power devices are checked next, and would those of a host obey?"""

from __future__ import annotations

from dataclasses import replace

from hanode.core.decisions import HostCheck
from hanode.core.facts import DeviceCheck, Power
from hanode.core.policy import Policy
from hanode.core.readiness import FIRST_ROUND_S, RECHECK_S, REFUSED_S, check_due_s, shortcoming, weaknesses

POLICY = Policy(check_every_s=3600.0, office_hold_s=20.0)
FINE = DeviceCheck(1, "bmc", power=Power.ON)
DEAD = DeviceCheck(1, "bmc", trouble="no answer")
HOSTS = [f"compute{number}" for number in range(200)]


def checked(*devices: DeviceCheck, told: bool = True) -> HostCheck:
    return HostCheck(devices, 1000.0, told)


def test_a_new_leader_checks_everybody_in_its_first_minutes_but_not_at_once() -> None:
    """A thousand logins in one second look like an attack to whoever watches the management network."""
    due = [check_due_s(host, None, POLICY, 100.0) for host in HOSTS]
    assert 120.0 <= min(due) < 140.0 and 680.0 < max(due) <= 120.0 + FIRST_ROUND_S
    assert due == [check_due_s(host, None, POLICY, 100.0) for host in HOSTS], "by the name alone, so that it can be told again"


def test_what_is_well_is_checked_again_about_once_in_the_interval() -> None:
    """Spread, so that what began together does not stay together."""
    due = sorted(check_due_s(host, checked(FINE), POLICY, 0.0) for host in HOSTS)
    assert due[0] >= 1000.0 + 0.75 * 3600 and due[-1] <= 1000.0 + 1.25 * 3600
    assert due[-1] - due[0] > 1500


def test_what_failed_is_tried_again_soon_and_a_refused_login_rarely() -> None:
    """A device may be back at once; a login that is refused again and again locks the account."""
    for host in HOSTS:
        assert check_due_s(host, checked(DEAD), POLICY, 0.0) <= 1000.0 + 1.25 * RECHECK_S
        assert check_due_s(host, checked(FINE, told=False), POLICY, 0.0) <= 1000.0 + 1.25 * RECHECK_S
        assert check_due_s(host, checked(replace(DEAD, login_refused=True)), POLICY, 0.0) >= 1000.0 + 0.75 * REFUSED_S


def test_one_level_that_would_confirm_protects_the_host() -> None:
    """That is what levels are for; what is wrong with the others is told all the same."""
    outlets = (DeviceCheck(2, "pdu 1", power=Power.ON), DeviceCheck(2, "pdu 2", power=Power.ON))
    assert shortcoming(checked(DEAD, *outlets), {}) == ""
    assert weaknesses(checked(DEAD, *outlets), {}) == "level 1 would fail (no answer)"


def test_a_level_of_which_one_device_fails_does_not_confirm() -> None:
    """All devices of a level must read off."""
    outlets = (DeviceCheck(2, "pdu 1", power=Power.ON), DeviceCheck(2, "pdu 2", trouble="refused"))
    assert shortcoming(checked(DEAD, *outlets), {}) == "level 1: no answer; level 2: refused"


def test_a_device_that_says_neither_on_nor_off_would_prove_nothing() -> None:
    """As one in the middle of its own update."""
    assert shortcoming(checked(replace(FINE, power=Power.OTHER)), {}) == "it says neither on nor off"


def test_a_device_that_hides_its_identity_now_would_be_refused() -> None:
    """Each use requires what it told at first contact, except where the operator has written it down himself."""
    known = {"bmc": "uuid 1"}
    assert "does not tell its identity any more (uuid 1)" in shortcoming(checked(FINE), known)
    assert shortcoming(checked(replace(FINE, identity="uuid 1")), known) == ""
    assert shortcoming(checked(replace(FINE, configured=True)), known) == ""


def test_of_a_host_of_which_nothing_was_told_nothing_is_said() -> None:
    """A check that gave way to a use in earnest is no failure."""
    assert shortcoming(checked(told=False), {}) == "" and weaknesses(checked(told=False), {}) == ""


def test_what_devices_are_warned_of_is_told_although_they_would_obey() -> None:
    """Cipher 0 lets anybody switch the host."""
    assert weaknesses(checked(replace(FINE, warning="lets in anybody")), {}) == "lets in anybody"
