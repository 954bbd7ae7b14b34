"""How is a host switched on and off, as the mains would?

On means that a process of the host's group lives. Off is SIGKILL to all of them at once, nova-compute,
guests and the host's listener, and it is off only when the kernel shows none of them any more. The BMC
uses it, and so does a test that cuts the power behind the BMC's back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .layout import Host, Lab
from .processes import everything, look, own_environment

INIT = Path(__file__).with_name("init.py")


@contextlib.contextmanager
def switch(host: Host) -> Iterator[None]:
    """One hand at the switch: the BMC and a test may reach for it at the same time."""
    with (host.directory / "switch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def members(host: Host) -> list[int]:
    """The living processes of the host, guests included."""
    try:
        group = json.loads(host.group_file.read_text())
    except FileNotFoundError:
        return []
    leader = look(group["pid"])
    if leader and leader.start != group["start"]:
        return []  # The pid went to a stranger, which the kernel allows only once the group is empty.
    return [p.pid for p in everything() if p.group == group["pid"]]


def is_on(host: Host) -> bool:
    return bool(members(host))


def cut(host: Host) -> None:
    with switch(host):
        while alive := members(host):
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        host.group_file.unlink(missing_ok=True)


def connect(lab: Lab, host: Host) -> None:
    """Switch on; a host that is on stays as it is."""
    with switch(host):
        if is_on(host):
            return
        compute = [
            lab.tool("nova-compute"),
            *("--config-file", str(lab.path("etc", "nova", "nova.conf"))),
            *("--config-file", str(host.config)),
            *("--log-file", str(host.log)),
        ]
        where = [host.host_ip, str(host.banner_port), str(host.compute_pid_file), f"{host.log}.out"]
        with lab.log(f"host-{host.name}").open("ab") as log:
            leader = subprocess.Popen(
                [str(lab.python), "-I", "-S", str(INIT), *where, "--", *compute],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=own_environment(lab, {"HANODE_LAB_GUEST": str(lab.path("bin", "guest"))}),
                cwd=host.directory,
                start_new_session=True,
            )
        seen = look(leader.pid)
        if seen is None:
            sys.exit(f"{host.name} died at power on")
        host.group_file.write_text(json.dumps({"pid": leader.pid, "start": seen.start}))
