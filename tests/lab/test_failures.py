"""Failures of real hosts under a real Nova: judged from Nova and from the disks, never from what hanode says."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from openstack.connection import Connection

from .cluster import until
from .conftest import START
from .stack import client, disks, faults
from .stack.layout import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

DOMAIN_A = {"cn1", "cn2", "cn3", "cn4"}


def host_of(server: dict[str, Any]) -> str:
    return str(server["OS-EXT-SRV-ATTR:host"])


def status_of(cloud: Connection, ids: Sequence[str]) -> dict[str, str]:
    return {i: client.server(cloud, i)["status"] for i in ids}


def wait_written(lab: Lab, ids: Sequence[str], hosts: set[str]) -> None:
    """Each of these guests writes its disk again, on one host, and on one of these."""

    def look() -> dict[str, set[str]]:
        now = disks.running(lab)
        return {i: now.get(i, set()) for i in ids}

    until("guests writing again", look, lambda now: all(len(found) == 1 and found <= hosts for found in now.values()))


def assert_unharmed(lab: Lab, before: Sequence[disks.Disk]) -> None:
    findings = disks.judge(lab, before)
    assert not findings, "\n".join(map(str, findings))


def evacuations_of(cloud: Connection, source: str, ids: Sequence[str]) -> Counter[str]:
    return Counter(m["instance_uuid"] for m in client.evacuations(cloud, source_compute=source) if m["instance_uuid"] in ids)


def assert_nobody_touched(lab: Lab, cloud: Connection, ids: Sequence[str], host: str, before: Sequence[disks.Disk]) -> None:
    """No evacuation, the same guests still writing at home, nothing harmed."""
    assert not evacuations_of(cloud, host, ids)
    wait_written(lab, ids, {host})
    assert_unharmed(lab, before)


def test_power_cut_brings_twenty_servers_of_mixed_states_back_and_the_host_returns(lab: Lab, cloud: Connection, start: START) -> None:
    """The main job: right hosts, right power states, right locks, every disk kept; then the host is taken back."""
    states = ["ACTIVE"] * 12 + ["SHUTOFF"] * 4 + ["LOCKED"] * 2 + ["ERROR", "PAUSED"]
    chosen = client.boot_mixed(cloud, "cn1", states)
    cluster = start()
    before = disks.read_all(lab)
    faults.power_cut(lab, "cn1")
    cluster.wait_recovered("cn1")
    servers = {i: client.server(cloud, i) for i in chosen}
    for server_id, was in chosen.items():
        now = servers[server_id]
        if was == "PAUSED":
            assert host_of(now) == "cn1", "skipped with a reason"
            continue
        assert host_of(now) in DOMAIN_A - {"cn1"}
        assert now["status"] == {"LOCKED": "ACTIVE", "ERROR": "ACTIVE"}.get(was, was)
        assert now["locked"] is (was == "LOCKED"), "our lock is gone, the owner's stayed"
    wait_written(lab, [i for i, was in chosen.items() if was in {"ACTIVE", "LOCKED", "ERROR"}], DOMAIN_A - {"cn1"})
    assert max(evacuations_of(cloud, "cn1", list(chosen)).values()) == 1
    assert_unharmed(lab, before)

    faults.power_on(lab, "cn1")
    assert cluster.command("host", "release", "cn1", "--yes", "--reason", "repaired").returncode == 0
    cluster.wait_state("cn1", "WATCHED")
    service = client.services(cloud)["cn1"]
    assert not service["forced_down"] and service["status"] == "enabled"
    assert {m["status"] for m in client.evacuations(cloud, source_compute="cn1")} == {"completed"}
    assert_unharmed(lab, before)


def test_a_dead_agent_harms_nobody(lab: Lab, cloud: Connection, start: START) -> None:
    """nova-compute killed alone: AGENT_DOWN, nothing new lands there, nobody is fenced, its guests run on."""
    ids = client.boot(cloud, 3, "cn1")
    cluster = start()
    before = disks.read_all(lab)
    faults.kill_compute(lab, "cn1")
    cluster.wait_verdict("cn1", "AGENT_DOWN")
    until("cn1 disabled", lambda: client.services(cloud)["cn1"]["status"], lambda status: status == "disabled")
    assert_nobody_touched(lab, cloud, ids, "cn1", before)
    faults.start_compute(lab, "cn1")
    cluster.wait_verdict("cn1", "HEALTHY")
    until("cn1 enabled again", lambda: client.services(cloud)["cn1"]["status"], lambda status: status == "enabled")


def test_a_living_host_is_fenced_first_where_its_aggregate_says_so(lab: Lab, cloud: Connection, start: START) -> None:
    """fence_living_hosts: the guests run until the very moment of the fence; no disk ever has two writers."""
    ids = client.boot(cloud, 5, "cn1")
    cluster = start(protection="fence_living = domain-A")
    before = disks.read_all(lab)
    faults.kill_compute(lab, "cn1")
    cluster.wait_recovered("cn1")
    assert not client.until("cn1 off", lambda: faults.bmc_status(lab, "cn1"), lambda seen: not seen["on"])["on"]
    wait_written(lab, ids, DOMAIN_A - {"cn1"})
    assert_unharmed(lab, before)


def test_the_leader_dies_in_the_middle(lab: Lab, cloud: Connection, start: START) -> None:
    """kill -9 of the leader while Nova is rebuilding: another goes on, nothing is posted twice."""
    ids = client.boot(cloud, 12, "cn1")
    cluster = start()
    before = disks.read_all(lab)
    faults.power_cut(lab, "cn1")
    until("the first evacuation", lambda: len(client.evacuations(cloud, source_compute="cn1")), bool)
    leader = cluster.leader()
    cluster.daemons[leader].signal(signal.SIGKILL)
    cluster.wait_recovered("cn1")
    assert cluster.leader() != leader
    assert set(status_of(cloud, ids).values()) == {"ACTIVE"}
    wait_written(lab, ids, DOMAIN_A - {"cn1"})
    assert set(evacuations_of(cloud, "cn1", ids).values()) == {1}
    assert_unharmed(lab, before)


@pytest.mark.parametrize("fault", ["lies-on", "silent", "refuses"])
def test_a_host_that_cannot_be_proven_off_waits_for_a_person(lab: Lab, cloud: Connection, start: START, fault: str) -> None:
    """The host hangs and its BMC lies, is silent or refuses: nothing is evacuated; after a person's word everything is."""
    ids = client.boot(cloud, 3, "cn1")
    cluster = start()
    before = disks.read_all(lab)
    faults.bmc_fault(lab, "cn1", fault)
    faults.freeze_host(lab, "cn1")
    cluster.wait_state("cn1", "NEEDS_OPERATOR")
    assert not evacuations_of(cloud, "cn1", ids)
    assert cluster.command("status", "--check").returncode == 2
    if fault != "silent":
        return
    faults.power_cut(lab, "cn1")

    def confirm() -> str:
        said = cluster.command("host", "confirm-fenced", "cn1", "--yes", "--reason", "pulled both plugs")
        return said.stderr if said.returncode else ""

    # Killing its processes closes the connections of a probe under way, which is a sign of life; a real plug does not.
    until("the confirmation", confirm, lambda refused: not refused)
    cluster.wait_recovered("cn1")
    wait_written(lab, ids, DOMAIN_A - {"cn1"})
    assert_unharmed(lab, before)


def test_a_frozen_message_bus_fences_nobody_but_who_is_proven_dead(lab: Lab, cloud: Connection, start: START) -> None:
    """RabbitMQ stands still: every host is silent at once, and none has failed. One loses its power meanwhile, and one comes back late."""
    ids, lost, cut = client.boot(cloud, 3, "cn1"), client.boot(cloud, 2, "cn2"), client.boot(cloud, 1, "cn3")
    cluster = start()
    before = disks.read_all(lab)
    faults.cut_off(lab, "cn3")  # first: what it had already told the bus would be heard when that goes on
    faults.freeze_rabbit(lab)
    until("the brake", lambda: [h["name"] for h in cluster.status().get("holds", [])], lambda holds: "STALE_TOGETHER" in holds)
    frozen_until = time.monotonic() + 60

    def look() -> tuple[set[str], bool]:
        states = {r.state for h in lab.hosts if (r := cluster.record(h.name))}
        return {str(s) for s in states} - {"SUSPECT"}, time.monotonic() > frozen_until

    until("a minute", look, lambda seen: seen[1] or bool(seen[0]))
    assert not look()[0], "no recovery went beyond suspicion"
    faults.power_cut(lab, "cn2")
    faults.thaw_rabbit(lab)
    cluster.wait_recovered("cn2")
    wait_written(lab, lost, DOMAIN_A - {"cn2", "cn3"})
    cluster.wait_verdict("cn3", "HELD")
    assert cluster.record("cn3") is None or str(cluster.record("cn3").state) == "SUSPECT"  # type: ignore[union-attr]
    faults.cut_off(lab, "cn3", cut=False)
    until("cn3 judged well", lambda: cluster.verdict("cn3"), lambda verdict: verdict in {"HEALTHY", "EXEMPT"})
    assert {h.name for h in lab.hosts if not faults.bmc_status(lab, h.name)["on"]} == {"cn2"}
    assert not evacuations_of(cloud, "cn3", cut)
    assert_nobody_touched(lab, cloud, ids, "cn1", before)


def test_a_target_without_the_share_rebuilds_no_disk(lab: Lab, cloud: Connection, start: START) -> None:
    """It claims the domain and does not see it: Nova refuses there, and the instances wait for a sound host."""
    ids = client.boot(cloud, 2, "cn1")
    for host in ("cn3", "cn4"):
        client.set_service(cloud, host, status="disabled", disabled_reason="a test")
    cluster = start()
    before = disks.read_all(lab)
    faults.unmount_share(lab, "cn2")
    faults.power_cut(lab, "cn1")
    until(
        "refused by Nova",
        lambda: [m["status"] for m in client.evacuations(cloud, source_compute="cn1")],
        lambda seen: seen.count("failed") >= 2,
    )
    assert_unharmed(lab, before)
    client.set_service(cloud, "cn3", status="enabled")
    cluster.wait_recovered("cn1")
    wait_written(lab, ids, {"cn3"})
    assert_unharmed(lab, before)


def test_a_host_that_reboots_by_itself_gets_its_guests_back(lab: Lab, cloud: Connection, start: START) -> None:
    """Nova alone would leave them off; one that its owner had stopped stays off."""
    chosen = client.boot_mixed(cloud, "cn1", ["ACTIVE", "ACTIVE", "SHUTOFF"])
    cluster = start(fence_after_s=120)
    before = disks.read_all(lab)
    faults.reboot(lab, "cn1", after_s=5, reads="on")
    cluster.wait_verdict("cn1", "SUSPECT")
    cluster.wait_verdict("cn1", "HEALTHY")
    ran = [i for i, was in chosen.items() if was == "ACTIVE"]
    wait_written(lab, ran, {"cn1"})
    until("Nova says so", lambda: set(status_of(cloud, ran).values()), lambda seen: seen == {"ACTIVE"})
    assert status_of(cloud, list(chosen)) == chosen
    assert not client.evacuations(cloud, source_compute="cn1") or not evacuations_of(cloud, "cn1", list(chosen))
    assert_unharmed(lab, before)


def test_an_operators_forced_down_evacuates_nobody(lab: Lab, cloud: Connection, start: START) -> None:
    """A living host that somebody forced down is theirs: alarm, and the command to type."""
    ids = client.boot(cloud, 3, "cn1")
    cluster = start()
    before = disks.read_all(lab)
    client.set_service(cloud, "cn1", forced_down=True)
    cluster.wait_verdict("cn1", "EXEMPT")
    assert "hanode host evacuate cn1" in cluster.status()["exempt"]["cn1"]
    quiet_until = time.monotonic() + 30
    until("half a minute", time.monotonic, lambda now: now > quiet_until)
    assert cluster.record("cn1") is None
    assert_nobody_touched(lab, cloud, ids, "cn1", before)


def test_losing_a_second_host_before_the_first_is_back(lab: Lab, cloud: Connection, start: START) -> None:
    """Its instances still hold an allocation on the first, dead host, which Nova's forced call would refuse."""
    ids = client.boot(cloud, 4, "cn1")
    cluster = start()
    before = disks.read_all(lab)
    faults.power_cut(lab, "cn1")
    cluster.wait_recovered("cn1")
    second = host_of(client.server(cloud, ids[0]))
    faults.power_cut(lab, second)
    cluster.wait_recovered(second)
    wait_written(lab, ids, DOMAIN_A - {"cn1", second})
    assert_unharmed(lab, before)
