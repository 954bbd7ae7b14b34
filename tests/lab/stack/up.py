"""How does the lab come up, and go down again?

`up` does every step in order and says how long each took. Whatever was left of an earlier lab, apart
from the Python environment and the kept database, is removed first: every lab starts empty.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from . import bootstrap, config, machine, power, services
from .layout import ETCD_MEMBERS, REPOSITORY, Lab
from .policies import write_policies
from .processes import Processes, StartFailed, kill_all, marked, wait_for
from .report import write_reports

KEPT = ("venv", "template", "bin")


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    print(f"{what} ...", end=" ", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:.1f} s", flush=True)


def clear(lab: Lab, keep: Sequence[str] = KEPT) -> None:
    """Remove what an earlier lab left behind in its directory."""
    for entry in lab.directory.iterdir() if lab.directory.exists() else ():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def contents(lab: Lab, what: str) -> None:
    """Run in the lab's own Python, which has openstacksdk."""
    argv = ["env", "-C", str(REPOSITORY), str(lab.python), "-m", "tests.lab.stack.contents", what]
    services.run(lab, argv, {"HANODE_LAB_DIR": str(lab.directory)})


def start(lab: Lab, names: Sequence[str]) -> None:
    """Start these side by side, then wait for all of them."""
    catalogue = services.catalogue(lab)
    for name in names:
        catalogue[name].start(lab)
    for name in names:
        catalogue[name].wait(lab)


def bring_up(lab: Lab) -> None:
    with step("packages of the distribution"):
        machine.install_packages(lab)
    with step("Python packages"):
        machine.install_python(lab)
        machine.build_guest(lab)
    with step("database, broker, etcd"):
        config.write_all(lab)
        write_policies(lab)
        etcd = [f"etcd{n}" for n in range(1, ETCD_MEMBERS + 1)]
        catalogue = services.catalogue(lab)
        lab.path("rabbit").mkdir(exist_ok=True)
        start(lab, ["epmd"])
        for name in ("rabbit", *etcd):
            catalogue[name].start(lab)
        bootstrap.database_with_schemas(lab)
        for name in ("rabbit", *etcd):
            catalogue[name].wait(lab)
    with step("keystone, placement, glance, network"):
        # Nova's services are slow to load: they may begin, while the others get ready.
        start(lab, ["keystone", "network", "silence"])
        contents(lab, "accounts")
        start(lab, ["placement", "glance", "nova-conductor"])
    with step("nova and the hosts"):
        start(lab, ["nova-scheduler", "nova-api", *(f"bmc-{host.name}" for host in lab.hosts)])
        for host in lab.hosts:
            power.connect(lab, host)
        contents(lab, "objects")
    write_reports(lab)


def up(lab: Lab, beside: Sequence[str]) -> None:
    if (lab.path("lab.json")).exists() and marked(lab):
        print(f"The lab in {lab.directory} is up already.")
        return
    machine.refuse_unless_fit(lab, beside)
    if marked(lab):
        sys.exit("A part of this lab still runs, perhaps from a start that failed: take it down first.")
    machine.refuse_taken_ports(lab)
    lab.directory.mkdir(parents=True, exist_ok=True)
    lab.directory.chmod(0o755)
    clear(lab)
    lab.record()
    lab.path("log").mkdir()
    began = time.monotonic()
    try:
        bring_up(lab)
    except StartFailed as failure:
        sys.exit(f"\n{failure}\nWhat runs is left as it is, to be looked at; `down` removes it.")
    minutes, seconds = divmod(time.monotonic() - began, 60)
    print(f"up in {minutes:.0f} min {seconds:.0f} s: {lab.path('lab.json')}, {lab.path('openrc')}")


def down(lab: Lab, purge: bool) -> None:
    """Hosts first, so that no guest writes into what is being removed; then the services, last one first."""
    with step("hosts"):
        processes = Processes(lab)
        for host in lab.hosts:
            # The BMC first: it could switch the host on again.
            processes.stop(f"bmc-{host.name}", timeout_s=1, how=signal.SIGKILL)
            if host.directory.exists():
                power.cut(host)
    with step("services"):
        # Nothing of a throw-away cloud is worth a slow goodbye.
        kill_all((process.pid for process in marked(lab)), signal.SIGKILL)
        for name in reversed(processes.names()):
            processes.stop(name, timeout_s=1, how=signal.SIGKILL)
        if not wait_for(lambda: not marked(lab), 10):
            sys.exit(f"These processes do not die: {[process.pid for process in marked(lab)]}")
    if purge:
        shutil.rmtree(lab.directory, ignore_errors=True)
        print(f"{lab.directory} removed; the distribution's packages stay installed.")
    else:
        clear(lab, keep=(*KEPT, "log"))


def status(lab: Lab) -> int:
    """Print what runs; 0 when all of it does."""
    processes = Processes(lab)
    missing = 0
    for name in services.catalogue(lab):
        alive = processes.alive(name)
        missing += alive is None
        print(f"{name:16} {f'pid {alive.pid}' if alive else 'not running'}")
    for host in lab.hosts:
        count = len(power.members(host))
        print(f"{host.name:16} {f'on, {count} processes' if count else 'off'}, domain {host.domain}")
    return 1 if missing else 0
