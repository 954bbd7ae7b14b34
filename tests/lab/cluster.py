"""How do three hanode daemons watch the lab? Unmodified, by IPMI and real probes, on the lab's own etcd."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from hanode.cli.base import open_desk
from hanode.core.lifecycle import ENDED
from hanode.core.records import HostRecovery, Roster
from hanode.errors import HanodeError
from hanode.sim.stage import Process, scrubbed

from .stack import client
from .stack.layout import HANODE, IPMI_CIPHER, IPMI_USER, REGION, REPOSITORY, SECRET, Lab

Seen = TypeVar("Seen")
LIMIT_S = 180.0

CONF = """\
[DEFAULT]
mode = act
host_id = {name}
cluster_id = {cluster_id}
[keystone]
auth_url = {auth_url}
username = {user}
password = {secret}
project_name = service
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
[drill]
flavor = {flavor}
image = {image}
clouds_file = {clouds_file}
cloud = hanode-lab
check_command = {look} {{when}} {{server}}
[web]
port = 0
"""

LOOK = """\
#!{python}
import pathlib, sys
when, server = sys.argv[1:]
disks = list(pathlib.Path("{domains}").glob(f"*/{{server}}/disk"))
assert len(disks) == 1, disks
kept, now = pathlib.Path("{directory}", server), disks[0].read_bytes()
if when == "before":
    kept.write_bytes(now)
assert len(kept.read_bytes()) > 0 and now.startswith(kept.read_bytes()), "the disk is another"
"""


def until(what: str, look: Callable[[], Seen], good: Callable[[Seen], bool], timeout_s: float = LIMIT_S) -> Seen:
    """Look until it is good; the limit says that something is broken, never that it is slow."""
    deadline = time.monotonic() + timeout_s
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s; last seen: {str(seen)[:600]}"
        time.sleep(0.2)
    return seen


@cache
def canary(lab: Lab) -> Mapping[str, str]:
    """What drills make their canaries of."""
    cloud = client.connect(lab)
    flavor = next(flavor.id for flavor in cloud.compute.flavors() if flavor.name == "tiny")
    return {"flavor": flavor, "image": next(image.id for image in cloud.image.images())}


class Hanode:
    """A hanode that runs, whoever started it, as its command line and its journal show it."""

    def __init__(self, conf: str) -> None:
        self.conf = conf

    def status(self) -> Mapping[str, Any]:
        try:
            return open_desk([self.conf]).ledger.read_status() or {}
        except HanodeError:
            return {}

    def leader(self) -> str:
        return str(self.status().get("leader", {}).get("host_id", ""))

    def records(self) -> Mapping[str, HostRecovery]:
        try:
            return open_desk([self.conf]).ledger.load().records.hosts
        except HanodeError:
            return {}

    def record(self, host: str) -> HostRecovery | None:
        return self.records().get(host)

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

    def roster(self) -> Roster:
        """What the leader keeps beside incidents."""
        try:
            return open_desk([self.conf]).ledger.load().records.roster
        except HanodeError:
            return Roster()

    def command(self, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """`hanode WORDS`, as an operator types it."""
        arguments = [sys.executable, "-m", "hanode", *words, "--config-file", self.conf]
        return subprocess.run(arguments, capture_output=True, text=True, env=scrubbed(), timeout=timeout_s, check=False)


class Cluster(Hanode):
    """Three daemons with a journal of their own; `d1`, `d2`, `d3`."""

    def __init__(
        self,
        lab: Lab,
        directory: Path,
        protection: str = "",
        fence_after_s: float = 10.0,
        at_once: int = 16,
        per_target: int = 6,
        outlets: bool = False,
        fixed: int | None = None,
    ) -> None:
        """`outlets`: each host has an outlet as its second fencing level. `fixed`: so many at once everywhere, whatever Nova shows."""
        super().__init__(str(directory / "d1.conf"))
        self._lab = lab
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._write_fencing(outlets)
        values = {
            "cluster_id": f"lab-{uuid.uuid4().hex[:8]}",
            "auth_url": lab.auth_url,
            "user": HANODE,
            "secret": SECRET,
            "region": REGION,
            "etcd": ",".join(endpoint.removeprefix("http://") for endpoint in lab.etcd_endpoints),
            "directory": directory,
            "fence_after_s": fence_after_s,
            "protection": protection,
            "at_once": at_once,
            "per_target": per_target,
            "clouds_file": lab.path("clouds.yaml"),
            "look": directory / "look.py",
            **canary(lab),
        }
        look = directory / "look.py"
        look.write_text(LOOK.format(python=sys.executable, domains=lab.path("domains"), directory=directory))
        look.chmod(0o700)
        program = [sys.executable, "-m", "hanode"]
        if fixed is not None:
            program = ["/usr/bin/env", "-C", str(REPOSITORY), sys.executable, "-m", "tests.lab.fixed", str(fixed)]
        self.daemons: dict[str, Process] = {}
        for name in ("d1", "d2", "d3"):
            conf = directory / f"{name}.conf"
            conf.touch(mode=0o600)
            conf.write_text(CONF.format(name=name, **values))
            self.daemons[name] = Process(name, [*program, "run", "--config-file", str(conf)], directory)

    def _write_fencing(self, outlets: bool) -> None:
        hosts: dict[str, object] = {}
        for host in self._lab.hosts:
            bmc = {
                "driver": "ipmi",
                "address": host.bmc_address,
                "port": host.bmc_port,
                "username": IPMI_USER,
                "password": SECRET,
                "cipher": IPMI_CIPHER,
                "privilege": "ADMINISTRATOR",
                "timeout_s": 3,
            }
            program = ["/usr/bin/env", "-C", str(REPOSITORY), f"HANODE_LAB_DIR={self._lab.directory}", sys.executable]
            outlet = {"driver": "command", "outlet": True, "command": [*program, "-m", "tests.lab.stack.pdu", host.name, "{action}"]}
            hosts[host.name] = {"levels": [bmc, outlet]} if outlets else bmc
        file = self.directory / "fencing.yaml"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"hosts": hosts}))  # which is YAML as well

    # ------------------------------------------------------------------ life

    def __enter__(self) -> Cluster:
        for daemon in self.daemons.values():
            daemon.start()
        self.wait_armed()
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons.values():
            daemon.close()

    def wait_armed(self) -> None:
        """Somebody leads, sees every host up and holds nothing back."""

        def armed(status: Mapping[str, Any]) -> bool:
            hosts = status.get("hosts", {})
            empty = {"HEALTHY", "EXEMPT"}
            return len(hosts) == len(self._lab.hosts) and not status["holds"] and all(h["verdict"] in empty for h in hosts.values())

        until("a leader that is armed", self.status, armed)

    # ------------------------------------------------------------------ what it says

    def told(self) -> str:
        """The ends of the daemons' logs, for a test that failed."""
        tails = [f"--- {name}\n" + "\n".join(d.log.read_text().splitlines()[-60:]) for name, d in self.daemons.items()]
        status = json.dumps(self.status(), indent=1)
        return "\n".join([*tails, status])
