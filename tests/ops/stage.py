"""A cloud and a configuration of it, for the tests of what is found before hanode is let loose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hanode.sim.cloud import EmbeddedCloud, example_world
from tests.core.cli_stage import Terminal


@pytest.fixture
def cloud() -> Iterator[EmbeddedCloud]:
    made = EmbeddedCloud(example_world(hosts=4, domains=2, servers=6))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def configured(cloud: EmbeddedCloud, hanode: Terminal, tmp_path: Path) -> Callable[..., Terminal]:
    def write(**more: str) -> Terminal:
        fencing = tmp_path / "fencing.yaml"
        fencing.write_text(cloud.fencing_yaml())
        fencing.chmod(0o600)
        login = cloud.credentials
        text = {"keystone": {"auth_url": login["auth_url"], "username": login["username"], "password": login["password"],
                             "project_name": login["project"], "region_name": login["region"], "interface": "public"},
                "fencing": {"config_file": str(fencing)}, "protection": {"hypervisor_kinds": "QEMU"},
                "journal": {"url": f"sqlite://{tmp_path}/j.db"}}
        for key, value in more.items():
            group, _, option = key.partition("__")
            text.setdefault(group, {})[option] = value
        sections = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items()) for group, lines in text.items()]
        hanode.config.write_text("\n".join(sections))
        hanode.config.chmod(0o600)
        return hanode

    return write
