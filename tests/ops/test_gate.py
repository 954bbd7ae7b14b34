"""The jobs of .zuul.yaml: what they run is there, and what they say to the tests is understood."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
JOBS = [entry["job"] for entry in yaml.safe_load((ROOT / ".zuul.yaml").read_text()) if "job" in entry]
TARGETS = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
VARIABLES = frozenset(re.findall(r"HANODE_TEST_\w+", (ROOT / "tests/lab/anywhere.py").read_text()))


def tasks(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for play in yaml.safe_load((ROOT / job["run"]).read_text()) for task in play.get("tasks", ())]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job["name"])
def test_a_job_calls_what_the_makefile_has(job: dict[str, Any]) -> None:
    """A gate that ends with `no rule to make target` blocks every change."""
    commands = [task["ansible.builtin.command"] for task in tasks(job) if "ansible.builtin.command" in task]
    lines = [command["cmd"] if isinstance(command, dict) else command for command in commands]
    made = [line.split()[1] for line in lines if line.startswith("make ")]
    assert made and set(made) <= set(TARGETS)


def test_the_devstack_job_gives_the_tests_a_cloud_and_one_host_of_it() -> None:
    """By the variables that they read, and by the aggregate without which they touch nothing."""
    job = next(job for job in JOBS if job["name"] == "hanode-devstack")
    (run,) = [task for task in tasks(job) if "cloud-test" in str(task)]
    said = {name for name in run["environment"] if name.startswith("HANODE_TEST_")}
    assert "HANODE_TEST_CLOUD" in said and said <= VARIABLES
    (aggregate,) = [task for task in tasks(job) if "aggregate create" in str(task)]
    assert 'aggregate add host hanode-test-target "$COMPUTE"' in str(aggregate)
