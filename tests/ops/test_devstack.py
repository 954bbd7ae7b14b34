"""Does the DevStack plugin do in each phase what DevStack expects? Against stand-ins of DevStack's functions that record the calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hanode.conf import build

PLUGIN = Path(__file__).parents[2] / "devstack"
FUNCTIONS = Path(__file__).with_name("devstack_functions.sh")
SCRIPTS = (PLUGIN / "plugin.sh", PLUGIN / "settings", FUNCTIONS)


@dataclass
class DevStack:
    root: Path
    enabled: str = "hanode etcd3 tempest"
    distribution: str = "ubuntu"

    def phase(self, *words: str) -> list[str]:
        """The calls that one phase makes, without those of settings."""
        calls = self.root / "calls"
        calls.write_text("")
        known = {"PATH": os.environ["PATH"], "ROOT": str(self.root), "CALLS": str(calls), "PLUGIN": str(PLUGIN),
                 "ENABLED": self.enabled, "DISTRIBUTION": self.distribution}
        done = subprocess.run(["bash", str(FUNCTIONS), *words], env=known, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        settings = ("define_plugin ", "enable_service ", "echo_summary ")
        return [line for line in calls.read_text().splitlines() if not line.startswith(settings)]


@pytest.fixture
def devstack(tmp_path: Path) -> DevStack:
    return DevStack(tmp_path)


def test_install_brings_hanode_and_what_it_calls(devstack: DevStack) -> None:
    """Without ping the default probe cannot look, without ipmitool half of all BMCs are dumb."""
    assert devstack.phase("stack", "install") == [
        f"setup_develop {devstack.root}/opt/stack/hanode", "install_package ipmitool iputils-ping"]
    devstack.distribution = "fedora"
    assert "install_package ipmitool iputils" in devstack.phase("stack", "install")


def test_post_config_writes_a_configuration_that_hanode_accepts(devstack: DevStack) -> None:
    """Read back by hanode itself: an option that was renamed would break every job of the gate."""
    calls = devstack.phase("stack", "post-config")
    assert calls[0] == "create_service_user hanode admin"
    conf = devstack.root / "etc/hanode/hanode.conf"
    settings = build.load([str(conf)])
    assert settings.get("DEFAULT", "mode") == "act"
    assert settings.get("journal", "url") == "etcd3+http://192.0.2.10:2379"
    login = build.keystone(settings)
    assert (login["username"], login["password"], login["project"]) == ("hanode", "sec$ret", "service")
    assert settings.get("protection", "hypervisor_kinds") == ["QEMU", "KVM", "fake"]


def test_the_password_is_never_readable_by_others(devstack: DevStack) -> None:
    """The file is closed before the password is in it, and stays so when stack.sh runs again."""
    for _ in range(2):
        devstack.phase("stack", "post-config")
        for name in ("hanode.conf", "fencing.yaml"):
            assert (devstack.root / "etc/hanode" / name).stat().st_mode & 0o777 == 0o600


def test_power_devices_of_a_job_survive_the_next_stack(devstack: DevStack) -> None:
    """They are written by the job, not by us."""
    devstack.phase("stack", "post-config")
    fencing = devstack.root / "etc/hanode/fencing.yaml"
    fencing.write_text("hosts: {}\n")
    devstack.phase("stack", "post-config")
    assert fencing.read_text() == "hosts: {}\n"


def test_extra_starts_the_unit_and_waits_until_it_is_ready(devstack: DevStack) -> None:
    """A job that goes on before hanode looks tests nothing."""
    assert devstack.phase("stack", "extra") == [
        f"run_process hanode /usr/local/bin/hanode run --config-file {devstack.root}/etc/hanode/hanode.conf",
        "wait_for_service 60 http://127.0.0.1:9732/readyz"]


def test_tempest_is_told_only_when_it_is_there(devstack: DevStack) -> None:
    """Its configuration file does not exist otherwise."""
    assert devstack.phase("stack", "test-config") == [f"iniset {devstack.root}/tempest.conf service_available hanode True"]
    devstack.enabled = "hanode"
    assert devstack.phase("stack", "test-config") == []


def test_unstack_and_clean_leave_nothing_behind(devstack: DevStack) -> None:
    """The next stack.sh begins from nothing."""
    devstack.phase("stack", "post-config")
    assert devstack.phase("unstack") == ["stop_process hanode"]
    assert devstack.phase("clean") == []
    assert not (devstack.root / "etc/hanode").exists() and not (devstack.root / "var/lib/hanode").exists()


@pytest.mark.parametrize("words", [("stack", "install"), ("stack", "post-config"), ("stack", "extra"), ("unstack",), ("clean",)])
def test_a_plugin_that_is_not_enabled_does_nothing(devstack: DevStack, words: tuple[str, ...]) -> None:
    """DevStack sources every plugin in every phase."""
    devstack.enabled = "nova"
    assert devstack.phase(*words) == []


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed here")
def test_shellcheck_finds_nothing() -> None:
    """stack.sh runs under `set -o errexit`: what shellcheck finds ends whole jobs."""
    checked = subprocess.run(["shellcheck", "--shell=bash", *map(str, SCRIPTS)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
