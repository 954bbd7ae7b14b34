"""Does the embedded cloud fail as a real one does? Its faults must reach the adapters through real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from hanode.adapters.fencing.config import load
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.adapters.probes import Probes, ProbeSettings
from hanode.core.facts import Power
from hanode.core.model import Call
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable
from hanode.sim.cloud import EmbeddedCloud, example_world
from hanode.sim.cloud.http import HttpError, Request
from hanode.sim.cloud.nova import evacuation_call, minor
from hanode.sim.world import Answer, ApiFault, BmcMode, Effect, Part, World
from tests.contract.test_cloud import wait_until


@pytest.fixture
def embedded() -> Iterator[EmbeddedCloud]:
    cloud = EmbeddedCloud(example_world(hosts=3, domains=1, servers=6), speed=10.0)
    cloud.start()
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(embedded: EmbeddedCloud) -> OpenStackCloud:
    return OpenStackCloud(Credentials(**embedded.credentials))


def control(embedded: EmbeddedCloud, **given: Any) -> requests.Response:
    return requests.post(embedded.urls.control, json=given, timeout=20)


def error_of(call: Callable[[], object]) -> type[HanodeError] | None:
    try:
        call()
    except HanodeError as error:
        return type(error)
    return None


def first_server(embedded: EmbeddedCloud) -> str:
    return embedded.live.run(lambda world: world.servers.on("cn1")[0].instance_id)


def fail_cn1(embedded: EmbeddedCloud) -> None:
    def fail(world: World) -> None:
        world.hosts.power_off("cn1", "test")
        world.hosts["cn1"].forced_down = True

    embedded.live.run(fail)


# ------------------------------------------------------------------------ the control plane


def test_a_stopped_nova_api_refuses_connections_and_comes_back(embedded: EmbeddedCloud, cloud: OpenStackCloud) -> None:
    """Refused is not silent: the engine may repeat at once. The adapter reconnects by itself."""
    cloud.read_fleet()
    embedded.live.run(lambda world: world.control.fail(Part.API))
    # The first request may still find a connection that was open before.
    wait_until(lambda: error_of(lambda: cloud.evacuate("any", "cn2", Call.SCHEDULED)) is Unreachable)
    embedded.live.run(lambda world: world.control.restore(Part.API))
    wait_until(lambda: error_of(cloud.read_fleet) is None)


def test_a_silent_cell_is_never_an_empty_host(embedded: EmbeddedCloud, cloud: OpenStackCloud) -> None:
    """Nova answers 200 with nothing; services show no state."""
    embedded.live.run(lambda world: world.control.fail(Part.CELL))
    for read in (lambda: cloud.read_servers("cn1"), lambda: cloud.read_migrations("cn1"), cloud.read_evacuations,
                 lambda: cloud.read_instance(first_server(embedded))):
        with pytest.raises(Unreachable):
            read()


def test_an_evacuation_that_is_never_answered_may_have_begun(embedded: EmbeddedCloud) -> None:
    """With RabbitMQ frozen nova-api writes the record and then waits for ever."""
    cloud = OpenStackCloud(Credentials(**embedded.credentials, timeout_s=1.0))
    server = first_server(embedded)
    fail_cn1(embedded)
    embedded.live.run(lambda world: world.control.fail(Part.RABBIT))
    with pytest.raises(Ambiguous):
        cloud.evacuate(server, "cn2", Call.SCHEDULED)
    assert [m.status for m in cloud.read_migrations("cn1")] == ["accepted"]
    embedded.live.run(lambda world: world.control.restore(Part.RABBIT))
    # Well or badly: hosts whose heartbeats have not come back yet are no valid targets.
    wait_until(lambda: [m.status for m in cloud.read_migrations("cn1")] in (["done"], ["error"]))


@pytest.mark.parametrize("answer", [Answer.ERROR, Answer.DOWN])
def test_an_evacuation_that_fails_on_the_way_is_ambiguous(
        embedded: EmbeddedCloud, cloud: OpenStackCloud, answer: Answer) -> None:
    """Whether it took effect is a matter of luck."""
    server = first_server(embedded)
    fail_cn1(embedded)
    cloud.connect()
    embedded.live.run(lambda world: world.control.inject(ApiFault("evacuate", answer, Effect.NOW)))
    with pytest.raises(Ambiguous):
        cloud.evacuate(server, "cn2", Call.SCHEDULED)
    assert len(cloud.read_migrations("cn1")) == 1


def test_expired_tokens_are_renewed_unseen(embedded: EmbeddedCloud, cloud: OpenStackCloud) -> None:
    """Keystone's keys may be rotated at any time; only one request more is sent."""
    cloud.read_fleet()
    embedded.expire_tokens()
    assert set(cloud.read_fleet().hosts) == {"cn1", "cn2", "cn3"}


def test_a_wrong_password_is_refused(embedded: EmbeddedCloud) -> None:
    """As a first installation often has it."""
    with pytest.raises(Refused, match=r"\[keystone\]"):
        OpenStackCloud(Credentials(**(embedded.credentials | {"password": "wrong"}))).connect()


@pytest.mark.parametrize("version, body", [
    (13, {"host": "h"}), (14, {"host": "h", "onSharedStorage": True}), (68, {"host": "h", "force": True}),
    (95, {"host": "h", "onSharedStorage": True})])
def test_bodies_that_do_not_fit_their_microversion_are_refused(version: int, body: dict[str, Any]) -> None:
    """So a client that drifts to another microversion fails here and not in production."""
    with pytest.raises(HttpError) as caught:
        evacuation_call(body, version)
    assert caught.value.response.status == 400


def test_without_a_microversion_the_oldest_is_meant_and_an_unknown_one_is_not_acceptable() -> None:
    """As Nova does."""
    def asked(**headers: str) -> Request:
        return Request("GET", "/v2.1/os-services", {}, headers, None)

    assert minor(asked()) == 1
    with pytest.raises(HttpError) as caught:
        minor(asked(**{"openstack-api-version": "compute 2.999"}))
    assert caught.value.response.status == 406


# ------------------------------------------------------------------------ power and signs of life


def test_power_devices_obey_our_redfish_client(embedded: EmbeddedCloud, tmp_path: Path) -> None:
    """The fencing file that the cloud writes is the one that the daemon reads."""
    file = tmp_path / "fencing.yaml"
    file.write_text(embedded.fencing_yaml())
    file.chmod(0o600)
    devices = Devices(load(file))
    assert devices.hosts() == {"cn1", "cn2", "cn3"}
    assert devices.read_power("cn1") is Power.ON
    devices.power_off("cn1", lambda: False)
    wait_until(lambda: devices.read_power("cn1") is Power.OFF)
    assert embedded.live.run(lambda world: world.hosts["cn1"].powered) is False
    devices.power_on("cn1", lambda: False)
    wait_until(lambda: devices.read_power("cn1") is Power.ON)
    assert devices.read_power("cn2") is Power.ON


@pytest.mark.parametrize("mode, error", [
    (BmcMode.SILENT, Unreachable), (BmcMode.LOCKED_OUT, Refused), (BmcMode.WRONG_MACHINE, Refused)])
def test_power_devices_can_misbehave(embedded: EmbeddedCloud, tmp_path: Path, mode: BmcMode, error: type[Exception]) -> None:
    """A device that is wired to another machine gives itself away by that machine's UUID."""
    file = tmp_path / "fencing.yaml"
    file.write_text(embedded.fencing_yaml())
    file.chmod(0o600)
    embedded.live.run(lambda world: world.bmcs["cn1"].misbehave(mode, acts_on="cn2"))
    with pytest.raises(error):
        Devices(load(file)).read_power("cn1")


def test_only_living_hosts_answer_probes(embedded: EmbeddedCloud) -> None:
    """A dead host is silent; a refusal would be a sign of life."""
    probes = Probes({"management": ProbeSettings(kind="tcp", port=embedded.probe_port, banner="SSH-2.0", timeout_s=0.3)})
    addresses = embedded.live.run(lambda world: {host.name: host.host_ip for host in world.hosts.all()})

    def answers(host: str) -> bool:
        return probes.answers(host, addresses[host], "management")

    wait_until(lambda: all(answers(host) for host in addresses))
    embedded.live.run(lambda world: world.hosts.power_off("cn1", "test"))
    embedded.live.run(lambda world: world.hosts.cut_network("cn2"))
    wait_until(lambda: [answers(host) for host in sorted(addresses)] == [False, False, True])
    embedded.live.run(lambda world: world.hosts.restore_network("cn2"))
    wait_until(lambda: answers("cn2"))


# ------------------------------------------------------------------------ the control


def test_faults_are_injected_and_judged_over_http(embedded: EmbeddedCloud, cloud: OpenStackCloud) -> None:
    """A demo runs in another process and must see the truth, not what Nova says."""
    server = first_server(embedded)
    assert control(embedded, do="power_cut", host="cn1").status_code == 200
    state = requests.get(f"{embedded.urls.control}/state", timeout=20).json()
    assert state["hosts"]["cn1"]["powered"] is False
    assert state["servers"][server]["running_on"] == []
    cloud.force_down(cloud.read_fleet().hosts["cn1"].service.service_id)
    cloud.evacuate(server, "cn2", Call.SCHEDULED)

    def runs_on_cn2() -> bool:
        state = requests.get(f"{embedded.urls.control}/state", timeout=20).json()
        return bool(state["servers"][server]["running_on"] == ["cn2"] and len(state["evacuations_accepted"]) == 1
                    and not state["disk_conflicts"] and not state["data_losses"])

    wait_until(runs_on_cn2)
    log = requests.get(f"{embedded.urls.control}/log", timeout=20).json()
    assert "evacuate-accepted" in {event["kind"] for event in log["events"]}
    assert requests.get(f"{embedded.urls.control}/log?since={log['next']}", timeout=20).json()["next"] >= log["next"]


@pytest.mark.parametrize("given", [{}, {"do": "explode"}, {"do": "power_cut"}, {"do": "power_cut", "host": "cn99"},
                                   {"do": "bmc", "host": "cn1", "mode": "NICE"}, {"do": "server_stop", "server": "nobody"}])
def test_a_wrong_command_is_explained(embedded: EmbeddedCloud, given: dict[str, Any]) -> None:
    """A typo in a demo must not look like a cloud that survives everything."""
    answer = control(embedded, **given)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_every_verb_of_a_host_works(embedded: EmbeddedCloud) -> None:
    """They are found by GET /control."""
    verbs = requests.get(embedded.urls.control, timeout=20).json()["do"]
    assert "expire_tokens" in verbs
    of_hosts = [verb for verb in verbs if verb not in {"bmc", "fail", "restore", "fault", "server_stop", "server_start",
                                                       "server_delete"}]
    assert [control(embedded, do=verb, host="cn1").status_code for verb in of_hosts] == [200] * len(of_hosts)
    assert control(embedded, do="bmc", host="cn1", mode="LIES").status_code == 200
    assert control(embedded, do="fail", part="RABBIT").status_code == 200
    assert control(embedded, do="fault", call="evacuate", answer="HANG", effect="LATER", delay_s=5).status_code == 200


def test_the_cloud_runs_as_a_process_and_ends_on_a_signal(tmp_path: Path) -> None:
    """The demo and end-to-end tests start it so."""
    file = tmp_path / "cloud.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "hanode.sim.cloud", "--hosts", "2", "--domains", "1", "--servers", "4", "--state-file", str(file)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    try:
        wait_until(lambda: file.exists() or process.poll() is not None)
        state = json.loads(file.read_text())
        assert file.stat().st_mode & 0o077 == 0
        assert set(OpenStackCloud(Credentials(**state["credentials"])).read_fleet().hosts) == {"cn1", "cn2"}
        assert state["fencing_yaml"].startswith("hosts:")
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.startswith("embedded cloud: 2 hosts, 4 servers")


def test_many_clients_at_once_see_one_world(embedded: EmbeddedCloud, cloud: OpenStackCloud) -> None:
    """Workers share one session; the world is behind one lock."""
    cloud.connect()
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(len(cloud.read_servers("cn1")))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [2] * 16
