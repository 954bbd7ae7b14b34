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

Settings = Mapping[str, Mapping[str, object]]
"""Groups of hanode.conf with their options."""

QUICK: Settings = {
    "DEFAULT": {"mode": "act", "cluster_id": "demo"},
    "keystone": {"timeout_s": 5},
    "journal": {"timeout_s": 1},
    "office": {"lease_ttl_s": 5},
    "fencing": {"reading_gap_s": 1, "timeout_s": 10},
    "probe": {"kind": "tcp", "timeout_s": 1},
    "evacuation": {"repost_settle_s": 20, "accept_lag_s": 10, "follow_s": 0.5, "max_at_once": 16, "max_per_domain": 16},
    "web": {"port": 0},
}
"""What fits the pace of the embedded cloud."""


def ini(settings: Settings) -> str:
    return "".join(f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()) for group, options in settings.items())


def over(first: Settings, *others: Settings) -> Settings:
    """The options of all of them, later ones winning."""
    made = {group: dict(options) for group, options in first.items()}
    for other in others:
        for group, options in other.items():
            made.setdefault(group, {}).update(options)
    return made


class Process:
    """One child, in a process group of its own, with its output in a file."""

    def __init__(self, name: str, arguments: list[str], directory: Path) -> None:
        self.name, self._arguments, self.log = name, arguments, directory / f"{name}.log"
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._arguments,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=scrubbed(),
                cwd=self._directory,
                start_new_session=True,
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
    """`daemons` unmodified `hanode run` processes, by name d1, d2, ...; `journal` is the url that they share.

    `members` of etcd; 0 of them means sqlite. `settings` are those of every daemon, over QUICK.
    """

    def __init__(
        self,
        directory: Path,
        daemons: int = 3,
        members: int = 1,
        hosts: int = 8,
        servers: int = 40,
        domains: int = 2,
        settings: Settings | None = None,
    ) -> None:
        self.directory = directory
        self._settings = settings or {}
        self.etcd = EtcdCluster(directory / "etcd", members) if members and etcd_binary() else None
        # Without the etcd that was asked for there is nothing that several daemons could agree in.
        self._names = [f"d{number}" for number in range(1, (daemons if self.etcd or not members else 1) + 1)]
        self.journal = self.etcd.url if self.etcd else f"sqlite://{directory}/journal.db"
        sizes = {"--hosts": hosts, "--servers": servers, "--domains": domains, "--state-file": directory / "cloud.json"}
        arguments = [str(word) for pair in sizes.items() for word in pair]
        self.cloud = Process("cloud", [sys.executable, "-m", "hanode.sim.cloud", *arguments], directory)
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
        self.cloud.start()
        if self.etcd is not None:
            self.etcd.__enter__()
        state = self.directory / "cloud.json"
        wait_until(lambda: state.exists() or not self.cloud.runs, START_LIMIT_S, "the embedded cloud")
        assert state.exists(), f"the embedded cloud did not start: see {self.cloud.log}"
        self.facts = json.loads(state.read_text())
        fencing = self.directory / "fencing.yaml"
        fencing.touch(mode=0o600)
        fencing.write_text(self.facts["fencing_yaml"])
        for name in self._names:
            self.daemons[name] = self.daemon(name)
            self.daemons[name].start()

    def daemon(self, name: str, settings: Settings | None = None) -> Process:
        """One more daemon with its configuration file; not started yet, and ended by whoever asked for it."""
        conf = self.conf_file(name)
        conf.touch(mode=0o600)
        conf.write_text(ini(self.settings(name, settings)))
        return Process(name, [sys.executable, "-m", "hanode", "run", "--config-file", str(conf)], self.directory)

    def settings(self, name: str, settings: Settings | None = None) -> Settings:
        """Everything in the configuration file of a daemon; known once the cloud runs."""
        credentials, interval_s = dict(self.facts["credentials"]), self.facts["report_interval_s"]
        keystone = {"project_name": credentials.pop("project"), "region_name": credentials.pop("region"), **credentials}
        found: Settings = {
            "DEFAULT": {"host_id": name},
            "keystone": keystone,
            "journal": {"url": self.journal},
            "detection": {"report_interval_s": interval_s, "fence_after_s": 4 * interval_s},
            "fencing": {"config_file": self.directory / "fencing.yaml", "config_dir": self.directory / "fencing.d"},
            "probe": {"port": self.facts["probe"]["port"], "banner": self.facts["probe"]["banner"]},
        }
        return over(QUICK, found, self._settings, settings or {})

    def conf_file(self, name: str) -> Path:
        return self.directory / f"{name}.conf"

    def close(self) -> None:
        for daemon in self.daemons.values():
            daemon.signal(signal.SIGTERM)  # all at once: nobody need take over any more
        for daemon in self.daemons.values():
            daemon.close()
        if self.etcd is not None:
            self.etcd.__exit__()
        self.cloud.close()
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
