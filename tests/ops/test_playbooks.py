"""The Ansible playbooks: they type commands that exist, and can be run again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ops.test_documents import problem

ROOT = Path(__file__).parents[2]
PLAYBOOKS = sorted((ROOT / "etc/hanode/ansible").glob("*.yml"))


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    for play in yaml.safe_load(path.read_text()):
        assert play["name"] and play["hosts"] == "hanode"
        yield from play["tasks"]


def test_there_are_playbooks() -> None:
    """Were they moved, everything below would pass."""
    assert [path.name for path in PLAYBOOKS] == ["after-upgrade.yml", "before-upgrade.yml", "upgrade-hanode.yml"]


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_every_command_of_a_playbook_exists(path: Path) -> None:
    """It runs in the middle of an upgrade, when nobody has time to read a usage."""
    found = [task["ansible.builtin.command"]["argv"] for task in tasks(path) if "ansible.builtin.command" in task]
    assert found
    assert [why for argv in found if (why := problem(shlex.join(map(str, argv))))] == []


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_is_as_ansible_wants_it(path: Path) -> None:
    """Names for each task, modules by their full names, commands that say whether they change anything; no word that asks a person."""
    for task in tasks(path):
        modules = [key for key in task if "." in key]
        assert task["name"][0].isupper() and len(modules) == 1 and modules[0].startswith("ansible.builtin.")
        if modules[0] == "ansible.builtin.command":
            argv = task[modules[0]]["argv"]
            assert "changed_when" in task
            assert ("--yes" in argv) == ("--reason" in argv), "a playbook cannot answer a question"
    assert path.read_text().startswith("---\n")


def test_the_operators_guide_names_each_playbook() -> None:
    """What is not named is not used."""
    guide = (ROOT / "docs/operator-guide.md").read_text()
    assert [path.name for path in PLAYBOOKS if path.name not in guide] == []
