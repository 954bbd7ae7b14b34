"""How do three hanode daemons watch the lab? Unmodified, by IPMI and real probes, on the lab's own etcd."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hanode.cli.base import open_desk
from hanode.core.lifecycle import ENDED
from hanode.core.records import HostRecovery
from hanode.errors import HanodeError
from hanode.sim.stage import Process, scrubbed

from .stack.layout import IPMI_CIPHER, IPMI_USER, REGION, SECRET, Lab

Seen = TypeVar("Seen")
LIMIT_S = 180.0

CONF = """\
[DEFAULT]
mode = act
host_id = {name}
cluster_id = {cluster_id}
[keystone]
auth_url = {auth_url}
username = admin
password = {secret}
project_name = admin
region_name = {region}
interface = public
timeout_s = 10
[journal]
url = etcd3+http://{etcd}
timeout_s = 1
[office]
lease_ttl_s = 5
[detection]
report_interval_s = 2
fence_after_s = {fence_after_s}
[fencing]
config_file = {directory}/fencing.yaml
config_dir = {directory}/fencing.d
reading_gap_s = 1
timeout_s = 5
backoff_s = 2
attempts = 2
[probe]
kind = tcp
port = 2222
banner = SSH-2.0
timeout_s = 1
[evacuation]
repost_settle_s = 75
accept_lag_s = 60
follow_s = 1
home_watch_s = 60
max_at_once = {at_once}
max_per_domain = {at_once}
max_per_target = {per_target}
[protection]
hypervisor_kinds = fake
{protection}
[web]
port = 0
"""


def until(what: str, look: Callable[[], Seen], good: Callable[[Seen], bool], timeout_s: float = LIMIT_S) -> Seen:
    """Look until it is good; the limit says that something is broken, never that it is slow."""
    deadline = time.monotonic() + timeout_s
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s; last seen: {str(seen)[:600]}"
        time.sleep(0.2)
    return seen


class Cluster:
    """Three daemons with a journal of their own; `d1`, `d2`, `d3`."""

    def __init__(
        self, lab: Lab, directory: Path, protection: str = "", fence_after_s: float = 10.0, at_once: int = 16, per_target: int = 6
    ) -> None:
        self._lab = lab
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._write_fencing()
        values = {
            "cluster_id": f"lab-{uuid.uuid4().hex[:8]}",
            "auth_url": lab.auth_url,
            "secret": SECRET,
            "region": REGION,
            "etcd": ",".join(endpoint.removeprefix("http://") for endpoint in lab.etcd_endpoints),
            "directory": directory,
            "fence_after_s": fence_after_s,
            "protection": protection,
            "at_once": at_once,
            "per_target": per_target,
        }
        self.daemons: dict[str, Process] = {}
        for name in ("d1", "d2", "d3"):
            conf = directory / f"{name}.conf"
            conf.touch(mode=0o600)
            conf.write_text(CONF.format(name=name, **values))
            self.daemons[name] = Process(name, [sys.executable, "-m", "hanode", "run", "--config-file", str(conf)], directory)

    def _write_fencing(self) -> None:
        lines = ["hosts:"]
        for host in self._lab.hosts:
            lines += [
                f"  {host.name}:",
                "    driver: ipmi",
                f"    address: {host.bmc_address}",
                f"    port: {host.bmc_port}",
                f"    username: {IPMI_USER}",
                f"    password: {SECRET}",
                f"    cipher: {IPMI_CIPHER}",
                "    privilege: ADMINISTRATOR",
                "    timeout_s: 3",
            ]
        file = self.directory / "fencing.yaml"
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")

    # ------------------------------------------------------------------ life

    def __enter__(self) -> Cluster:
        for daemon in self.daemons.values():
            daemon.start()
        self.wait_armed()
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons.values():
            daemon.close()

    @property
    def conf(self) -> str:
        return str(self.directory / "d1.conf")

    def wait_armed(self) -> None:
        """Somebody leads, sees every host up and holds nothing back."""

        def armed(status: Mapping[str, Any]) -> bool:
            hosts = status.get("hosts", {})
            empty = {"HEALTHY", "EXEMPT"}
            return len(hosts) == len(self._lab.hosts) and not status["holds"] and all(h["verdict"] in empty for h in hosts.values())

        until("a leader that is armed", self.status, armed)

    # ------------------------------------------------------------------ what it says

    def status(self) -> Mapping[str, Any]:
        try:
            return open_desk([self.conf]).ledger.read_status() or {}
        except HanodeError:
            return {}

    def leader(self) -> str:
        return str(self.status().get("leader", {}).get("host_id", ""))

    def record(self, host: str) -> HostRecovery | None:
        try:
            return open_desk([self.conf]).ledger.load().records.hosts.get(host)
        except HanodeError:
            return None

    def verdict(self, host: str) -> str:
        return str(self.status().get("hosts", {}).get(host, {}).get("verdict", ""))

    def wait_verdict(self, host: str, verdict: str, timeout_s: float = LIMIT_S) -> None:
        until(f"{host} judged {verdict}", lambda: self.verdict(host), lambda found: found == verdict, timeout_s)

    def wait_state(self, host: str, state: str, timeout_s: float = LIMIT_S) -> None:
        def look() -> str:
            record = self.record(host)
            return str(record.state) if record else "WATCHED"

        until(f"{host} {state}", look, lambda found: found == state, timeout_s)

    def wait_recovered(self, host: str, timeout_s: float = LIMIT_S) -> HostRecovery:
        """Every instance of its recovery has found its end."""

        def over(record: HostRecovery | None) -> bool:
            return record is not None and record.state == "EVACUATING" and all(i.state in ENDED for i in record.instances.values())

        found = until(f"{host} recovered", lambda: self.record(host), over, timeout_s)
        assert found is not None
        return found

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`hanode WORDS`, as an operator types it."""
        arguments = [sys.executable, "-m", "hanode", *words, "--config-file", self.conf]
        return subprocess.run(arguments, capture_output=True, text=True, env=scrubbed(), timeout=60, check=False)

    def told(self) -> str:
        """The ends of the daemons' logs, for a test that failed."""
        tails = [f"--- {name}\n" + "\n".join(d.log.read_text().splitlines()[-60:]) for name, d in self.daemons.items()]
        status = json.dumps(self.status(), indent=1)
        return "\n".join([*tails, status])
