"""How does a test break the lab, and mend it again?

Each function does one thing and returns when it is done. They act on processes and files, behind
OpenStack's back, and need nothing but the standard library and root.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

from . import power, services
from .layout import Host, Lab
from .processes import Processes, kill_all, look, wait_for

# The power of a host.


def power_cut(lab: Lab, host: str) -> None:
    """The mains fail: every process of the host is gone, guests too. A living BMC then reads off."""
    power.cut(lab.host(host))


def power_on(lab: Lab, host: str) -> None:
    """Somebody presses the button; guests stay off until Nova starts them."""
    power.connect(lab, lab.host(host))


def reboot(lab: Lab, host: str, after_s: float, reads: str = "off") -> None:
    """The host goes down and comes back by itself. With reads="on" the BMC says on all the while, as
    it does of a host whose kernel panicked. Needs the BMC's process; a power off by IPMI cancels it.
    """
    order(lab, host, {"op": "reboot", "after_s": after_s, "reads": reads})


def freeze_host(lab: Lab, host: str) -> None:
    """The whole host hangs: it does nothing any more, writes nothing, and may wake up at any time."""
    kill_all(power.members(lab.host(host)), signal.SIGSTOP)


def thaw_host(lab: Lab, host: str) -> None:
    kill_all(power.members(lab.host(host)), signal.SIGCONT)


# The network of a host.


def cut_off(lab: Lab, host: str, cut: bool = True) -> None:
    """It is heard of no more: nova-compute and what answers for it hang. Guests live on, and its BMC tells so. cut=False: mended."""
    leader = json.loads(lab.host(host).group_file.read_text())["pid"]
    for pid in filter(None, (leader, compute_pid(lab, host))):
        os.kill(pid, signal.SIGSTOP if cut else signal.SIGCONT)


# What runs on a host.


def compute_pid(lab: Lab, host: str) -> int | None:
    """The living nova-compute of the host."""
    found = lab.host(host)
    try:
        pid = int(found.compute_pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid in power.members(found) else None


def kill_compute(lab: Lab, host: str) -> None:
    """nova-compute alone dies: guests run on, the host answers. It stays dead until start_compute."""
    pid = compute_pid(lab, host)
    if pid is None:
        raise ProcessLookupError(f"no nova-compute runs on {host}")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: look(pid) is None, 10, 0.01)


def freeze_compute(lab: Lab, host: str, frozen: bool = True) -> None:
    """nova-compute alone hangs, or goes on with frozen=False; guests run."""
    pid = compute_pid(lab, host)
    if pid is None:
        raise ProcessLookupError(f"no nova-compute runs on {host}")
    os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)


def start_compute(lab: Lab, host: str) -> None:
    """What an operator does who finds a host with a dead nova-compute."""
    leader = json.loads(lab.host(host).group_file.read_text())["pid"]
    os.kill(leader, signal.SIGUSR1)
    wait_for(lambda: compute_pid(lab, host) is not None, 10, 0.05)


def spawn_fault(lab: Lab, host: str, delay_s: float = 0, fail: bool = False, hang: bool = False) -> None:
    """From the next spawn on: it takes longer, fails, or hangs until the fault is lifted (no argument)."""
    path = lab.host(host).spawn_faults
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"spawn_delay_s": delay_s, "spawn_fail": fail, "spawn_hang": hang}))
    new.rename(path)


def spawn_delay(lab: Lab, host: str, seconds: float) -> None:
    spawn_fault(lab, host, delay_s=seconds)


# Storage.


def point(host: Host, target: Path) -> None:
    new = host.instances.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(host.instances)


def unmount_share(lab: Lab, host: str) -> None:
    """The host claims its storage domain and does not see it. Guests that run keep their open disks."""
    found = lab.host(host)
    point(found, found.local_instances)


def mount_share(lab: Lab, host: str) -> None:
    found = lab.host(host)
    point(found, found.storage)


# The BMC.


def order(lab: Lab, host: str, what: dict[str, Any]) -> dict[str, Any]:
    """Say something to the process that plays the BMC."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(os.fspath(lab.host(host).control_socket))
        connection.sendall(json.dumps(what).encode() + b"\n")
        with connection.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


def bmc_fault(lab: Lab, host: str, kind: str, delay_s: float = 0) -> dict[str, Any]:
    """honest, lies-off, lies-on, silent, refuses, slow (with delay_s): see FAULTS in bmc.py."""
    return order(lab, host, {"op": "fault", "kind": kind, "delay_s": delay_s})


def bmc_status(lab: Lab, host: str) -> dict[str, Any]:
    """Its fault, whether the host is really on, and what the BMC says about that."""
    return order(lab, host, {"op": "status"})


def kill_bmc(lab: Lab, host: str) -> None:
    """The BMC is gone: its port is closed. The host is not touched."""
    Processes(lab).stop(f"bmc-{host}", how=signal.SIGKILL)
    lab.host(host).control_socket.unlink(missing_ok=True)


def start_bmc(lab: Lab, host: str) -> None:
    """The BMC is back, and honest."""
    start_service(lab, f"bmc-{host}")


# Services of the control plane, by the names that `status` shows.


def freeze(lab: Lab, service: str) -> None:
    """Its connections stay open and nothing is answered."""
    Processes(lab).signal(service, signal.SIGSTOP)


def thaw(lab: Lab, service: str) -> None:
    Processes(lab).signal(service, signal.SIGCONT)


def freeze_rabbit(lab: Lab) -> None:
    """To Nova, all hosts fall silent at once, though none has failed."""
    freeze(lab, "rabbit")


def thaw_rabbit(lab: Lab) -> None:
    thaw(lab, "rabbit")


def kill_service(lab: Lab, service: str) -> None:
    Processes(lab).stop(service, how=signal.SIGKILL)


def start_service(lab: Lab, service: str) -> None:
    """Start one that was killed, and wait until it answers."""
    found = services.catalogue(lab)[service]
    found.start(lab)
    found.wait(lab)


def repair(lab: Lab) -> None:
    """Everything back to good, except that a host without power stays so."""
    processes = Processes(lab)
    for name in services.catalogue(lab):
        if processes.alive(name):
            thaw(lab, name)
        else:
            start_service(lab, name)
    for host in lab.hosts:
        thaw_host(lab, host.name)
        bmc_fault(lab, host.name, "honest")
        mount_share(lab, host.name)
        spawn_fault(lab, host.name)
        if power.is_on(host) and compute_pid(lab, host.name) is None:
            start_compute(lab, host.name)


def heal(lab: Lab) -> None:
    """Everything back to good: for the end of a test, whatever it did before."""
    repair(lab)
    for host in lab.hosts:
        power_on(lab, host.name)
