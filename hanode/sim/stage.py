"""How does a whole little cluster come to stand on loopback? The embedded cloud, an etcd and unmodified daemons, as processes.

Everything lives in one directory and ends with `close`. Nothing of the caller's OpenStack environment gets through:
trying hanode must never touch anybody's real cloud.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from hanode.sim.etcd import EtcdCluster, etcd_binary, wait_until

START_LIMIT_S = 60.0

DAEMON_CONF = """\
[DEFAULT]
mode = act
host_id = {name}
cluster_id = demo
[keystone]
auth_url = {auth_url}
username = {username}
password = {password}
project_name = {project}
region_name = {region}
interface = {interface}
timeout_s = 5
[journal]
url = {journal}
timeout_s = 1
[office]
lease_ttl_s = 5
[detection]
report_interval_s = {report_interval_s}
fence_after_s = {fence_after_s}
[fencing]
config_file = {directory}/fencing.yaml
config_dir = {directory}/fencing.d
reading_gap_s = 1
timeout_s = 10
[probe]
kind = tcp
port = {probe_port}
banner = {banner}
timeout_s = 1
[evacuation]
repost_settle_s = 20
accept_lag_s = 10
follow_s = 0.5
max_at_once = 16
max_per_domain = 16
[metrics]
port = 0
{more}
"""


class Process:
    """One child, in a process group of its own, with its output in a file."""

    def __init__(self, name: str, arguments: list[str], directory: Path) -> None:
        self.name, self._arguments, self.log = name, arguments, directory / f"{name}.log"
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=scrubbed(), cwd=self._directory, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def runs(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.runs and self._child is not None:
            self._child.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        assert self._child is not None
        return self._child.wait(timeout_s)

    def close(self) -> None:
        """End it for good, frozen or not."""
        if self._child is None:
            return
        if self.runs:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self._child.wait(5.0)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()


def scrubbed() -> dict[str, str]:
    """Our environment without anything that names a cloud."""
    return {key: value for key, value in os.environ.items() if not key.startswith("OS_")}


class Stage:
    """`daemons` unmodified `hanode run` processes, by name d1, d2, ...; `journal` is the url that they share."""

    def __init__(
        self, directory: Path, daemons: int = 3, members: int = 1, hosts: int = 8, servers: int = 40, domains: int = 2,
        conf: Mapping[str, str] | None = None, more: str = "",
    ) -> None:
        self.directory = directory
        self._conf, self._more = dict(conf or {}), more
        self.etcd = EtcdCluster(directory / "etcd", members) if etcd_binary() else None
        # Without an etcd there is nothing that several daemons could agree in.
        self._names = [f"d{number}" for number in range(1, (daemons if self.etcd else 1) + 1)]
        self.journal = self.etcd.url if self.etcd else f"sqlite://{directory}/journal.db"
        self._cloud = Process("cloud", [
            sys.executable, "-m", "hanode.sim.cloud", "--hosts", str(hosts), "--servers", str(servers), "--domains", str(domains),
            "--state-file", str(directory / "cloud.json"),
        ], directory)
        self.daemons: dict[str, Process] = {}
        self._http = requests.Session()
        self._http.trust_env = False
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Stage:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        self._cloud.start()
        if self.etcd is not None:
            self.etcd.__enter__()
        state = self.directory / "cloud.json"
        wait_until(lambda: state.exists() or not self._cloud.runs, START_LIMIT_S, "the embedded cloud")
        assert state.exists(), f"the embedded cloud did not start: see {self._cloud.log}"
        self.facts = json.loads(state.read_text())
        fencing = self.directory / "fencing.yaml"
        fencing.touch(mode=0o600)
        fencing.write_text(self.facts["fencing_yaml"])
        for name in self._names:
            self.daemons[name] = self._daemon(name)
            self.daemons[name].start()

    def _daemon(self, name: str) -> Process:
        interval_s = self.facts["report_interval_s"]
        values = {
            **self.facts["credentials"], "name": name, "journal": self.journal, "report_interval_s": interval_s, "fence_after_s": 4 * interval_s,
            "directory": self.directory, "probe_port": self.facts["probe"]["port"], "banner": self.facts["probe"]["banner"], "more": self._more,
            **self._conf,
        }
        conf = self.conf_file(name)
        conf.touch(mode=0o600)
        conf.write_text(DAEMON_CONF.format(**values))
        return Process(name, [sys.executable, "-m", "hanode", "run", "--config-file", str(conf)], self.directory)

    def conf_file(self, name: str) -> Path:
        return self.directory / f"{name}.conf"

    def close(self) -> None:
        for daemon in self.daemons.values():
            daemon.close()
        if self.etcd is not None:
            self.etcd.__exit__()
        self._cloud.close()
        self._http.close()

    # ------------------------------------------------------------------ the truth

    def control(self, do: str, **more: object) -> None:
        """Make something happen in the embedded cloud."""
        self._http.post(self.facts["urls"]["control"], json={"do": do, **more}, timeout=10).raise_for_status()

    def state(self) -> dict[str, Any]:
        """What is really so in the embedded cloud, whatever Nova or hanode say."""
        found: dict[str, Any] = self._http.get(self.facts["urls"]["control"] + "/state", timeout=10).json()
        return found

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._http.get(self.facts["urls"]["control"] + f"/log?since={since}", timeout=30).json()["events"]
        return found
