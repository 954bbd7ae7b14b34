"""The operator's own programs: what their ends mean, and that none of them hangs hanode or outlives its time."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanode import ports
from hanode.adapters.programs import Programs, ProgramSettings
from hanode.errors import Ambiguous, ConfigError, Refused
from tests.contract.bmcs import never, wait_until
from tests.contract.test_ipmi import is_dead

LONG_S = 60.0
"""Generous: nothing is judged by how fast this machine is."""


def script(tmp_path: Path, text: str, name: str = "program") -> str:
    file = tmp_path / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def health(tmp_path: Path, text: str, timeout_s: float = LONG_S) -> ports.Programs:
    return Programs(ProgramSettings({"ceph1": (script(tmp_path, text), "--pool", "{domain}-vms")}, timeout_s))


def restart(tmp_path: Path, text: str, timeout_s: float = LONG_S) -> ports.Programs:
    return Programs(ProgramSettings(restart_agent=(script(tmp_path, text), "{host}", "{ip}"), restart_timeout_s=timeout_s))


@pytest.mark.parametrize(("code", "well"), [(0, True), (1, False), (2, False)])
def test_a_store_is_well_only_by_exit_code_zero(tmp_path: Path, code: int, well: bool) -> None:
    """Nagios plugins warn with 1: a warning is not well either."""
    assert health(tmp_path, f"exit {code}").storage_is_well("ceph1") is well


@pytest.mark.parametrize("text", ["exit 3", "kill -9 $$"])
def test_a_program_that_could_not_look_says_nothing_of_the_store(tmp_path: Path, text: str) -> None:
    """Unknown is not well, and not sick either: the reason tells an operator where to look."""
    with pytest.raises(Ambiguous, match="cannot tell whether ceph1 is well: no route to the monitors"):
        health(tmp_path, f"echo no route to the monitors >&2; {text}").storage_is_well("ceph1")


def test_the_domain_is_filled_in(tmp_path: Path) -> None:
    """One program may serve several domains."""
    assert health(tmp_path, 'test "$*" = "--pool ceph1-vms"').storage_is_well("ceph1")


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """A store that hangs hangs whoever touches it, and each look would leave another process behind."""
    child = tmp_path / "child"
    with pytest.raises(Ambiguous, match="no answer within 1 s"):
        health(tmp_path, f"sleep 1000 & echo $! > {child}; wait", timeout_s=1.0).storage_is_well("ceph1")
    wait_until(lambda: is_dead(int(child.read_text(encoding="utf-8"))))


def test_an_agent_is_started_again_by_host_and_address(tmp_path: Path) -> None:
    """The program decides how: ssh, a management controller, a message."""
    restart(tmp_path, 'test "$*" = "compute1 192.0.2.11"').restart_agent("compute1", "192.0.2.11", never)


def test_a_restart_that_could_not_be_done_is_refused_in_its_own_words(tmp_path: Path) -> None:
    """What it said last is what an operator reads."""
    with pytest.raises(Refused, match="ended with 5: Permission denied"):
        restart(tmp_path, "echo Permission denied >&2; exit 5").restart_agent("compute1", "192.0.2.11", never)


def test_a_deposed_leader_restarts_nothing(tmp_path: Path) -> None:
    """S5: the next leader may have decided otherwise."""
    done = tmp_path / "done"
    with pytest.raises(Ambiguous, match="aborted"):
        restart(tmp_path, f"touch {done}").restart_agent("compute1", "192.0.2.11", lambda: True)
    assert not done.exists()


def is_ready(tmp_path: Path, text: str) -> bool:
    ready = {"*/db-*": (script(tmp_path, text), "{id}", "{address}")}
    programs: ports.Programs = Programs(ProgramSettings(ready=ready, ready_timeout_s=LONG_S))
    return programs.is_ready("*/db-*", "i-1", "203.0.113.5")


@pytest.mark.parametrize(("text", "ready"), [('test "$*" = "i-1 203.0.113.5"', True), ("exit 1", False), ("exit 2", False)])
def test_an_instance_is_ready_only_by_exit_code_zero(tmp_path: Path, text: str, ready: bool) -> None:
    """It is told by its id and address; its name is a tenant's text, and could look like an option."""
    assert is_ready(tmp_path, text) is ready


def test_a_program_that_could_not_look_does_not_call_an_instance_ready(tmp_path: Path) -> None:
    """Unknown is not ready."""
    with pytest.raises(Ambiguous, match="cannot tell whether i-1 is ready: no route"):
        is_ready(tmp_path, "echo no route >&2; exit 3")


def test_a_rule_of_another_configuration_runs_nothing() -> None:
    """The journal names rules; what is run stands in this machine's own file."""
    with pytest.raises(Refused, match="has no program for"):
        Programs(ProgramSettings()).is_ready("*/*", "i-1", "203.0.113.5")


@pytest.mark.parametrize("words", [("is-it-well",), ("/no/such/program",), ()])
def test_a_program_that_cannot_be_run_is_named_with_its_option_before_anything_begins(words: tuple[str, ...]) -> None:
    """Found when the store hangs, it would be found too late."""
    with pytest.raises(ConfigError, match=r"\[storage\] health of ceph1 must begin with the full path of a program"):
        Programs(ProgramSettings({"ceph1": words}))
    with pytest.raises(ConfigError, match=r"\[detection\] restart_agent must begin with the full path"):
        Programs(ProgramSettings(restart_agent=words or ("ssh",)))
    with pytest.raises(ConfigError, match=r"\[priority\] ready of \*/db-\* must begin with the full path"):
        Programs(ProgramSettings(ready={"*/db-*": words}))
