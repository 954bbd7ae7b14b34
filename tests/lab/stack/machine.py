"""May the lab run on this machine, and how does the machine get what the lab needs?

Packages come from the distribution and from PyPI; nothing of them is started. The lab's Python lives in
its own directory, pinned to versions that work together.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .layout import MARK, Lab
from .processes import environment, everything
from .services import run

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
PACKAGES = {
    "mariadb-server": "/usr/sbin/mariadbd",
    "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "etcd-server": "/usr/bin/etcd",
    "ipmitool": "/usr/bin/ipmitool",
    "gcc": "/usr/bin/gcc",
    "libc6-dev": "/usr/include/stdio.h",
}
# How to tell somebody else's services by their command line; a rabbit shows as its Erlang machine.
FOREIGN = {
    "nova": ("nova-compute", "nova-conductor", "nova-scheduler", "nova-api", "nova.wsgi"),
    "mariadb": ("mariadbd", "mysqld"),
    "rabbitmq": ("rabbitmq-server", "rabbit@", "beam.smp"),
    "etcd": ("etcd",),
}
POLICY = Path("/usr/sbin/policy-rc.d")


def refuse_unless_fit(lab: Lab, beside: Sequence[str]) -> None:
    """Exit with a reason, or return: this machine may carry the lab."""
    if os.geteuid() != 0:
        sys.exit("The lab needs root: it installs packages and runs a database.")
    release = Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    if not any(f"{key}{name}" in text for key in ("ID=", "ID_LIKE=") for name in ("debian", "ubuntu")):
        sys.exit("The lab needs Debian or Ubuntu.")
    for kind, pid, command in foreign_services(lab):
        if kind not in beside:
            sys.exit(
                f"This machine already runs {kind}, which is not this lab's (pid {pid}: {command}).\n"
                "The lab is for a machine of its own: it would disturb a cloud, and a cloud would disturb it."
            )


def refuse_taken_ports(lab: Lab) -> None:
    """A stranger on one of our ports would be taken for our own service that became ready."""
    for name, port in lab.tcp_ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                sys.exit(f"Port {port}, meant for {name}, is taken; HANODE_LAB_BASE_PORT chooses others.")


def foreign_services(lab: Lab) -> Iterator[tuple[str, int, str]]:
    for process in everything():
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        # An interpreter runs its script as the second word; more words would match an editor's file.
        names = {Path(word).name for word in words[:2]}
        for kind, signs in FOREIGN.items():
            if names.intersection(signs) and environment(process.pid).get(MARK) != str(lab.directory):
                yield kind, process.pid, " ".join(words)[:100]


@contextlib.contextmanager
def services_stay_down() -> Iterator[None]:
    """Debian starts what it installs, unless this script forbids it; an older script is put back."""
    kept = POLICY.with_suffix(".d.hanode-lab")
    if POLICY.exists() and not kept.exists():
        POLICY.rename(kept)
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(POLICY)


def install_packages(lab: Lab) -> None:
    missing = [package for package, file in PACKAGES.items() if not Path(file).exists()]
    if not missing:
        return
    with services_stay_down():
        apt = {"DEBIAN_FRONTEND": "noninteractive"}
        run(lab, ["apt-get", "update", "-q"], apt)
        run(lab, ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], apt)


def install_python(lab: Lab) -> None:
    """A virtual environment that is as requirements.txt says; kept as long as that does not change."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = lab.path("venv", "requirements.sha256")
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(lab.path("venv"), ignore_errors=True)
        # With the caller's environment: where packages come from is configured there.
        with lab.log("install").open("ab") as log:
            pip_install(lab, log.fileno())
        stamp.write_text(wanted)
    nova = next(lab.path("venv", "lib").glob("python3*/site-packages/nova/virt"))
    shutil.copy(HERE / "driver" / "hanodelab.py", nova)


def pip_install(lab: Lab, log: int) -> None:
    venv = str(lab.path("venv"))
    steps = [[sys.executable, "-m", "venv", venv]]
    pip = [str(lab.python), "-m", "pip", "install", "-q"]
    uv = [*(lab.tool("uv"), "pip", "install", "-q", "--python", str(lab.python)), "-r", str(REQUIREMENTS)]
    # uv takes seconds where pip takes minutes; where uv is not to be had, pip will do.
    steps.append([*pip, "uv"])
    for step in steps:
        last = subprocess.run(step, stdout=log, stderr=log).returncode
    if last == 0 and subprocess.run(uv, stdout=log, stderr=log).returncode == 0:
        return
    if subprocess.run([*pip, "-r", str(REQUIREMENTS)], stdout=log, stderr=log).returncode:
        sys.exit(f"The Python packages could not be installed; see {lab.log('install')}.")


def build_guest(lab: Lab) -> None:
    lab.path("bin").mkdir(exist_ok=True)
    run(lab, ["gcc", "-O2", "-o", str(lab.path("bin", "guest")), str(HERE / "driver" / "guest.c")])
