"""Is everything that hanode can say, decide or suffer told in some story, with a log that a person can read?

Whoever adds a state, a verdict, an exemption, a hold, a result or a fault adds the story in which an operator meets it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hanode.core import accounts, brake, judge
from hanode.core.commands import VERBS
from hanode.core.decisions import Verdict
from hanode.core.lifecycle import HostState, InstanceState
from hanode.core.model import Result
from hanode.sim.world import BmcMode, Part
from tests.sim.plays import ROOT, STORIES


@cache
def logs() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("*/log.expect")))


@cache
def scenarios() -> str:
    return "".join((ROOT / name / "scenario").read_text(encoding="utf-8") for name in STORIES)


def tells(pattern: str) -> bool:
    return re.search(pattern, logs(), re.MULTILINE) is not None


def happens(pattern: str) -> bool:
    return re.search(pattern, scenarios(), re.MULTILINE) is not None


# --------------------------------------------------------------------------- what an operator reads


@pytest.mark.parametrize("state", HostState)
def test_some_story_ends_with_a_host_in_each_state(state: HostState) -> None:
    """The account at the end says in which state each host was left, and why."""
    said = "no record" if state is HostState.WATCHED else f"{state}: .+"
    assert tells(rf"^host \w+: .*; {said}$")


@pytest.mark.parametrize("state", InstanceState)
def test_some_story_tells_of_an_instance_in_each_state(state: InstanceState) -> None:
    """Each with its reason."""
    assert tells(rf"\b{state}: \S+")


@pytest.mark.parametrize("verdict", sorted(Verdict))
def test_some_story_tells_of_each_verdict(verdict: Verdict) -> None:
    """Each with its reason."""
    assert tells(rf" \w+: {verdict}: \S+")


def _strings(node: ast.expr) -> Iterator[str]:
    yield from (part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _tree(module: object) -> ast.Module:
    return ast.parse(Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8"))


def hold_names() -> list[str]:
    """The first argument of every Hold that the brake makes."""
    calls = [node for node in ast.walk(_tree(brake)) if isinstance(node, ast.Call)]
    holds = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Hold" and call.args]
    return sorted({name for call in holds for name in _strings(call.args[0])})


@pytest.mark.parametrize("name", hold_names())
def test_some_story_tells_of_each_hold_of_the_brake(name: str) -> None:
    """With its reason and what ends it."""
    assert tells(rf"brake holds: {name}: .+ \(ends: .+\)")


def exemptions() -> list[str]:
    """The longest fixed part of every reason for which a host is none of our business."""
    function = next(node for node in ast.walk(_tree(judge)) if isinstance(node, ast.FunctionDef) and node.name == "exemption")
    answers = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
    return sorted(max(_strings(answer), key=len) for answer in answers if list(_strings(answer)))


@pytest.mark.parametrize("reason", exemptions())
def test_some_story_tells_of_each_exemption(reason: str) -> None:
    """An operator must be able to learn why a host is not protected."""
    assert tells(rf"EXEMPT: .*{re.escape(reason.strip())}")


@pytest.mark.parametrize("result", [Result.DONE, Result.REFUSED, Result.UNREACHABLE, Result.AMBIGUOUS])
def test_some_story_tells_of_each_end_of_a_power_off(result: Result) -> None:
    """Accepted, refused, not delivered, or nobody knows."""
    assert tells(rf"power-off, attempt \d+: {result}")


@pytest.mark.parametrize("vm_state", sorted(accounts.SKIPPED_STATES))
def test_some_story_tells_of_each_state_that_is_skipped(vm_state: str) -> None:
    """With what the operator can do about it."""
    assert tells(rf"SKIPPED: {re.escape(accounts.SKIPPED_STATES[vm_state])}")


# --------------------------------------------------------------------------- what happens to it


@pytest.mark.parametrize("mode", sorted(set(BmcMode.__members__) - {"OK"}))
def test_some_story_has_a_power_device_that_fails_in_each_way(mode: str) -> None:
    """Devices lie in more ways than one."""
    assert happens(rf"^\S+ device \w+ {mode.lower().replace('_', '-')}")


@pytest.mark.parametrize("part", sorted(Part.__members__))
def test_some_story_loses_each_part_of_the_control_plane(part: str) -> None:
    """Each has a signature of its own, and none is the death of a host."""
    assert happens(rf"^\S+ fail {part.lower()}$")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_some_story_has_an_operator_who_uses_each_command(verb: str) -> None:
    """And what he is answered."""
    assert happens(rf"^\S+ operator {verb} ")
