"""The unit: hardened, without root, and with a user, directories and secrets that fit together."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = (SYSTEMD / "hanode.service").read_text()
MOST_EXPOSED = 2.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")


@needs_systemd
def test_the_unit_exposes_little() -> None:
    """It holds an administrator's password and those of every BMC."""
    said = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", str(SYSTEMD / "hanode.service")],
                          capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for hanode.service: ([\d.]+)", said.stdout)
    assert found is not None, said.stdout + said.stderr
    assert float(found[1]) < MOST_EXPOSED


@needs_systemd
def test_the_unit_with_credentials_is_understood(tmp_path: Path) -> None:
    """A directive that systemd does not know is ignored with a log line that nobody reads; here a secret would be missing."""
    unit = tmp_path / "hanode.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", UNIT))
    drop_in = tmp_path / "hanode.service.d"
    drop_in.mkdir()
    shutil.copy(SYSTEMD / "credentials.conf", drop_in)
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in (checked.stdout + checked.stderr).splitlines() if "hanode" in line] == []


@needs_systemd
def test_a_directive_that_systemd_does_not_know_would_be_found(tmp_path: Path) -> None:
    """The check above would be worth nothing if `verify` were silent about everything."""
    unit = tmp_path / "hanode.service"
    unit.write_text(f"[Service]\nExecStart={shutil.which('true')}\nLoadCredential=/no/name\n")
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert "hanode.service" in checked.stdout + checked.stderr


def test_it_does_not_run_as_root_but_may_ping() -> None:
    """One capability, and only that: whoever breaks in gets a pinging user."""
    user = re.search(r"(?m)^User=(\w+)$", UNIT)
    assert user is not None and user[1] != "root"
    assert re.findall(r"(?m)^(?:Ambient|Bounding)?Capabilit\w+=(.*)$", UNIT) == ["CAP_NET_RAW"] * 2
    assert re.search(rf"(?m)^u {user[1]} ", (SYSTEMD / "hanode.sysusers").read_text()), "nobody makes the user of the unit"


def test_only_hanode_can_read_what_is_secret() -> None:
    """Directories by tmpfiles: a package that forgets a mode shows the password of every BMC to everybody."""
    lines = [line.split() for line in (SYSTEMD / "hanode.tmpfiles").read_text().splitlines() if line and not line.startswith("#")]
    modes = {path: (mode, user, group) for _, path, mode, user, group, _ in lines}
    assert all(int(mode, 8) & 0o007 == 0 for mode, _, _ in modes.values())
    assert modes["/etc/hanode/fencing.yaml"] == ("0600", "hanode", "hanode")


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed here")
def test_systemd_makes_the_user(tmp_path: Path) -> None:
    """In a root of its own, without touching this machine."""
    (tmp_path / "etc").mkdir()
    made = subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(SYSTEMD / "hanode.sysusers")], capture_output=True, text=True,
                          check=False)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "etc/passwd").read_text().startswith("hanode:")
