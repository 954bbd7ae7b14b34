"""What does a whole daemon take that watches a large cloud in which nothing happens?

An unmodified `hanode run` with a real etcd, over HTTP to a cloud of `tests.bench.crowd`, each in a process of its own; CPU time and
memory are the kernel's figures for the daemon's process, requests and bytes are counted by the cloud.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from hanode.sim.etcd import wait_until
from hanode.sim.stage import Process, Settings, Stage, over

REPOSITORY = Path(__file__).parents[2]
READY_LIMIT_S = 600.0
SETTINGS: Settings = {
    "DEFAULT": {"cluster_id": "crowd", "daily_check": "false"},
    "office": {"lease_ttl_s": 15},
    "keystone": {"timeout_s": 30},
    "journal": {"timeout_s": 3},
    "probe": {"kind": "none"},
    "evacuation": {"repost_settle_s": 120, "accept_lag_s": 60},
    "web": {"port": 0},
}


@dataclass(frozen=True)
class Calm:
    over_s: float
    cpu_s: float
    peak_mib: float
    asked: dict[str, tuple[float, float]]  # kind -> requests and bytes, each minute

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.over_s


class Crowd(Stage):
    def __init__(self, directory: Path, hosts: int, servers: int, settings: Settings) -> None:
        super().__init__(directory, daemons=1, members=1, settings=settings)
        program = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from tests.bench.crowd import main; main()"
        arguments = [sys.executable, "-c", program, str(directory / "cloud.json"), str(hosts), str(servers)]
        self.cloud = Process("cloud", arguments, directory)

    def __enter__(self) -> Crowd:
        super().__enter__()
        return self

    def asked(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = requests.get(self.facts["urls"]["asked"], timeout=30).json()
        return found


def watched(hosts: int, over_s: float, servers: int = 0, capacity: bool = False) -> Calm:
    """From when the daemon leads and holds nothing back any more."""
    settings = over(SETTINGS, {"capacity": {"failures": 1}} if capacity else {})
    with tempfile.TemporaryDirectory(prefix="hanode-bench-") as made, Crowd(Path(made), hosts, servers, settings) as stage:
        daemon = stage.daemons["d1"]
        wait_until(lambda: "brake released" in _log(daemon), READY_LIMIT_S, f"a leader of {hosts} hosts that holds nothing back", 0.5)
        began = (_cpu_s(daemon.pid), stage.asked())
        pause = threading.Event()
        pause.wait(over_s)
        ended = (_cpu_s(daemon.pid), stage.asked())
        asked = {
            kind: ((calls - began[1].get(kind, [0, 0])[0]) * 60 / over_s, (size - began[1].get(kind, [0, 0])[1]) * 60 / over_s)
            for kind, (calls, size) in ended[1].items()
        }
        return Calm(over_s, ended[0] - began[0], _peak_mib(daemon.pid), asked)


def _log(daemon: Process) -> str:
    return daemon.log.read_text(errors="replace") if daemon.log.exists() else ""


def _cpu_s(pid: int) -> float:
    """User and system, all threads (proc(5), fields 14 and 15)."""
    fields: list[Any] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def _peak_mib(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
