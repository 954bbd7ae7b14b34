"""How does each daemon get ways of its own to etcd and to Nova, that can be cut for it alone?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hanode.sim.stage import Stage
from tests.e2e.play import Play
from tests.e2e.proxy import Network, Proxy

NAMES = ("d1", "d2", "d3")
CLOUD = """\
clouds:
  embedded:
    auth: {{auth_url: '{auth_url}', username: {username}, password: {password}, project_name: {project},
           user_domain_name: Default, project_domain_name: Default}}
    region_name: {region}
    interface: {interface}
    compute_endpoint_override: {nova}
"""


@dataclass(frozen=True)
class Ways:
    """Of one daemon. Keystone's has no proxy: its address is the name of the cloud."""

    etcd: tuple[Proxy, ...]  # to each member
    nova: Proxy


@contextmanager
def wired(play: Play) -> Iterator[Mapping[str, Ways]]:
    """Three daemons, started, on a stage that was opened with none; the operator types on a machine of its own."""
    stage = play.stage
    stage.daemon("desk")  # for its configuration file only: it is never started
    play.operator = "desk"
    with Network() as network:
        ways = {name: _ways(stage, network) for name in NAMES}
        for name, its in ways.items():
            stage.daemons[name] = stage.daemon(name, _settings(stage, name, its))
            stage.daemons[name].start()
        yield ways


def _ways(stage: Stage, network: Network) -> Ways:
    assert stage.etcd is not None
    etcd = tuple(network.proxy(member.client_port) for member in stage.etcd.members)
    return Ways(etcd, network.proxy(_port(stage.facts["urls"]["nova"])))


def _settings(stage: Stage, name: str, ways: Ways) -> Mapping[str, Mapping[str, object]]:
    nova = stage.facts["urls"]["nova"]
    file = stage.directory / f"{name}-clouds.yaml"
    file.touch(mode=0o600)
    file.write_text(CLOUD.format(**stage.facts["credentials"], nova=nova.replace(str(_port(nova)), str(ways.nova.port))))
    journal = "etcd3+http://" + ",".join(f"127.0.0.1:{proxy.port}" for proxy in ways.etcd)
    return {"journal": {"url": journal}, "keystone": {"cloud": "embedded", "clouds_file": file}}


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/", 1)[0])
