"""What an operator does, and what a cloud is built of: drills, maintenance, racks, groups, zones, a second power device, a full cloud."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hanode.core.records import HostRecovery
from openstack.connection import Connection

from .cluster import Cluster, until
from .conftest import START
from .stack import client, disks, faults
from .stack.layout import HANODE, Lab
from .test_failures import DOMAIN_A, assert_nobody_touched, assert_unharmed, evacuations_of, host_of, wait_written

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

WORDS = ("--yes", "--reason", "a test")


def hosts_of(cloud: Connection, ids: Sequence[str]) -> list[str]:
    return [host_of(client.server(cloud, i)) for i in ids]


def wait_in_service(cloud: Connection, host: str) -> None:
    def look() -> Mapping[str, Any]:
        return client.services(cloud)[host]

    until(f"{host} in service", look, lambda seen: (seen["state"], seen["status"], seen["forced_down"]) == ("up", "enabled", False))


def test_a_drill_proves_on_canaries_that_a_failure_would_end_well(lab: Lab, cloud: Connection, start: START) -> None:
    """Off for real, evacuated, their disks looked into, the host taken back, nothing left behind; somebody else's server is not touched."""
    ids = client.boot(cloud, 1, "cn2")
    cluster = start()
    before, said = disks.read_all(lab), len(lab.log("bmc-cn1").read_text())
    ended = cluster.command("drill", "cn1", *WORDS, "-f", "json", timeout_s=300)
    assert ended.returncode == 0, ended.stderr
    told = {row["what"]: row for row in json.loads(ended.stdout)}
    assert [row["how"] for what, row in told.items() if what.startswith("canary")] == ["is well on another host"] * 2
    assert {s["id"] for s in client.servers(cloud)} == set(ids), "its canaries are gone"
    asked = [line.split()[2:4] for line in lab.log("bmc-cn1").read_text()[said:].splitlines() if " power " in line]
    assert asked == [["power", "off,"], ["power", "on,"]], "for real, and once"
    wait_in_service(cloud, "cn1")
    assert cluster.record("cn1") is None
    assert_nobody_touched(lab, cloud, ids, "cn2", before)


def test_maintenance_empties_a_host_by_nova_s_migrations_and_takes_it_back(lab: Lab, cloud: Connection, start: START) -> None:
    """Live where guests run, cold where they do not; then it is switched off and on, and nobody takes that for a failure."""
    chosen = client.boot_mixed(cloud, "cn1", ["ACTIVE", "ACTIVE", "PAUSED", "SHUTOFF"])
    ids = list(chosen)
    cluster = start()
    before = disks.read_all(lab)
    assert cluster.command("host", "maintenance", "cn1", "--for", "30m", *WORDS).returncode == 0

    def work() -> str:
        found = cluster.roster().maintenance.get("cn1")
        return f"{found.state} {found.reason}" if found else ""

    until("cn1 empty", work, lambda state: state.startswith("EMPTY"))
    assert set(hosts_of(cloud, ids)) <= DOMAIN_A - {"cn1"}
    assert {i: client.server(cloud, i)["status"] for i in ids} == chosen
    wait_written(lab, [i for i, was in chosen.items() if was == "ACTIVE"], DOMAIN_A - {"cn1"})
    faults.power_cut(lab, "cn1")
    until("cn1 away", work, lambda state: state.startswith("AWAY"))
    faults.power_on(lab, "cn1")
    until("its maintenance over", work, lambda state: not state)
    wait_in_service(cloud, "cn1")
    assert not evacuations_of(cloud, "cn1", ids)
    kinds = [m["migration_type"] for m in client.get(cloud, "/os-migrations?host=cn1")["migrations"] if m["instance_uuid"] in ids]
    assert sorted(kinds) == ["live-migration"] * 3 + ["migration"]
    assert_unharmed(lab, before)


def test_nobody_of_a_rack_that_is_cut_off_is_shot_and_its_dead_host_is_recovered_later(lab: Lab, cloud: Connection, start: START) -> None:
    """Three hosts fall silent at once and their power devices read on: one cause, not three deaths. One dies meanwhile, and waits."""
    client.create_aggregate(cloud, "rack1", ["cn1", "cn2", "cn3"], rack="rack1")
    ids, lost = client.boot(cloud, 2, "cn1"), client.boot(cloud, 2, "cn2")
    client.boot(cloud, 1, "cn3")  # an empty host is nobody's business
    cluster = start()
    before = disks.read_all(lab)
    for host in ("cn1", "cn2", "cn3"):
        faults.cut_off(lab, host)
    doubt = {"FAILURE_DOMAIN", "TOO_MANY"}  # whichever sees it first; of six hosts three are too many as well
    until("the brake", lambda: {h["name"] for h in cluster.status().get("holds", [])}, lambda holds: bool(holds & doubt))
    for host in ("cn1", "cn2", "cn3"):
        cluster.wait_verdict(host, "HELD")
    wait_written(lab, ids, {"cn1"})
    wait_written(lab, lost, {"cn2"})
    assert all(faults.bmc_status(lab, host.name)["on"] for host in lab.hosts)
    faults.power_cut(lab, "cn2")
    until("its proof of death", lambda: cluster.status()["hosts"]["cn2"]["evidence"]["power"], lambda power: power.startswith("off"))
    assert not evacuations_of(cloud, "cn2", lost), "one cause is still likelier than a death among its neighbours"
    for host in ("cn1", "cn3"):
        faults.cut_off(lab, host, cut=False)
    cluster.wait_recovered("cn2")
    wait_written(lab, lost, DOMAIN_A - {"cn2"})
    for host in ("cn1", "cn3"):
        until(f"{host} judged well", lambda name=host: cluster.verdict(name), lambda verdict: verdict in {"HEALTHY", "EXEMPT"})  # type: ignore[misc]
    assert faults.bmc_status(lab, "cn1")["on"] and faults.bmc_status(lab, "cn3")["on"]
    assert_nobody_touched(lab, cloud, ids, "cn1", before)


def test_a_dead_bmc_is_no_end_where_there_is_an_outlet(lab: Lab, cloud: Connection, start: START) -> None:
    """The host hangs and its BMC has died with it: the second level switches it off, and reads off twice."""
    ids = client.boot(cloud, 3, "cn1")
    cluster = start(outlets=True)
    before = disks.read_all(lab)
    faults.kill_bmc(lab, "cn1")
    faults.freeze_host(lab, "cn1")
    record = cluster.wait_recovered("cn1")
    assert record.proof is not None and record.proof.level == 2
    wait_written(lab, ids, DOMAIN_A - {"cn1"})
    assert set(evacuations_of(cloud, "cn1", ids).values()) == {1}
    assert_unharmed(lab, before)


def test_what_binds_instances_is_kept_and_who_finds_no_room_gets_it_later(lab: Lab, cloud: Connection, start: START) -> None:
    """Anti-affinity, affinity, a zone and a large flavor in a cloud that is nearly full: one failure, and room that comes back."""
    client.create_aggregate(cloud, "zone1", ["cn1", "cn2", "cn4"], availability_zone="zone1")  # cn3 has room, and nobody may go there
    apart, together = client.create_group(cloud, "apart", "anti-affinity"), client.create_group(cloud, "together", "affinity")
    fillers = {host: client.boot(cloud, count, host, "quarter", "filler") for host, count in (("cn2", 3), ("cn4", 3))}
    (large,) = client.boot(cloud, 1, "cn1", "quarter", "large")
    (pinned,) = client.boot(cloud, 1, "cn1", name="pinned", zone="zone1")
    (one,) = client.boot(cloud, 1, "cn1", name="apart", group=apart)
    client.boot(cloud, 1, "cn2", name="apart", group=apart)
    bound = client.boot(cloud, 2, "cn1", name="together", group=together)
    client.boot(cloud, 9, "cn4")  # one vCPU is left there, and nine on cn2: one less than the large one needs
    cluster = start()
    before = disks.read_all(lab)
    faults.power_cut(lab, "cn1")

    def states(record: HostRecovery | None) -> dict[str, str]:
        return {key: str(entry.state) for key, entry in record.instances.items()} if record else {}

    wanted = {pinned: "VERIFIED", one: "VERIFIED", large: "WAITING", bound[0]: "WAITING", bound[1]: "WAITING"}
    until("all but those that wait", lambda: states(cluster.record("cn1")), lambda found: found == wanted)
    assert hosts_of(cloud, [pinned, one]) == ["cn2", "cn4"]
    record = cluster.record("cn1")
    assert record is not None
    assert "no room for 10 VCPU" in record.instances[large].reason
    assert "affinity" in record.instances[bound[0]].reason
    cloud.compute.delete(f"/servers/{fillers['cn4'][0]}")
    until("the large one", lambda: states(cluster.record("cn1")).get(large), lambda state: state == "VERIFIED")
    assert hosts_of(cloud, [large]) == ["cn4"]
    faults.power_on(lab, "cn1")
    assert cluster.command("host", "release", "cn1", *WORDS).returncode == 0
    cluster.wait_state("cn1", "WATCHED")
    wait_written(lab, bound, {"cn1"})
    assert hosts_of(cloud, bound) == ["cn1", "cn1"], "they waited for their own host"
    kept = {large, pinned, one, *bound}
    assert_unharmed(lab, [disk for disk in before if disk.instance in kept])


OFFERED = "[maintenance]\nfailback = offer\nmax_at_once = 1"
"""Behind the settings of [protection]."""


def test_a_spare_takes_what_fits_nowhere_else_and_is_in_reserve_again_when_all_is_home(lab: Lab, cloud: Connection, start: START) -> None:
    """Disabled by its operator, enabled for a failure in a full cloud; given back for his own reason once it is empty."""
    client.create_aggregate(cloud, "reserve", ["cn4"], **{"hanode:spare": "true"})
    for host in ("cn2", "cn3"):
        client.boot(cloud, 4, host, "quarter", "filler")  # all of its forty
    ids = client.boot(cloud, 3, "cn1")
    client.set_service(cloud, "cn4", status="disabled", disabled_reason="kept for failures")
    cluster = start(protection=OFFERED)
    before = disks.read_all(lab)
    faults.power_cut(lab, "cn1")
    cluster.wait_recovered("cn1")
    wait_written(lab, ids, {"cn4"})
    assert client.services(cloud)["cn4"]["status"] == "enabled"
    assert [(name, spare.reason) for name, spare in cluster.roster().spares.items()] == [("cn4", "kept for failures")]
    take_cn1_back(lab, cluster)
    assert client.services(cloud)["cn4"]["status"] == "enabled", "it is not empty yet"
    assert cluster.command("host", "failback", "cn1", *WORDS).returncode == 0
    until("all at home", lambda: set(hosts_of(cloud, ids)), lambda found: found == {"cn1"})

    def reserve() -> tuple[str, str]:
        service = client.services(cloud)["cn4"]
        return str(service["status"]), str(service["disabled_reason"])

    until("cn4 in reserve", reserve, lambda found: found == ("disabled", "kept for failures"))
    until("nothing remembered of it", lambda: cluster.roster().spares, lambda found: not found)
    assert set(evacuations_of(cloud, "cn1", ids).values()) == {1}
    wait_written(lab, ids, {"cn1"})
    assert_unharmed(lab, before)


def take_cn1_back(lab: Lab, cluster: Cluster) -> None:
    faults.power_on(lab, "cn1")
    assert cluster.command("host", "release", "cn1", *WORDS).returncode == 0
    cluster.wait_state("cn1", "WATCHED")


def test_what_had_moved_goes_home_though_the_leader_dies_and_what_was_moved_since_stays(lab: Lab, cloud: Connection, start: START) -> None:
    """By one live migration each. Nobody moves what its owner has put elsewhere meanwhile."""
    ids = client.boot(cloud, 6, "cn1")
    cluster = start(protection=OFFERED)
    before = disks.read_all(lab)
    faults.power_cut(lab, "cn1")
    cluster.wait_recovered("cn1")
    take_cn1_back(lab, cluster)
    theirs, *ours = ids
    elsewhere = min(DOMAIN_A - {"cn1", *hosts_of(cloud, [theirs])})
    client.act(cloud, theirs, {"os-migrateLive": {"host": elsewhere, "block_migration": "auto"}})
    until("moved by its owner", lambda: hosts_of(cloud, [theirs]), lambda found: found == [elsewhere])
    tried = cluster.command("host", "failback", "cn1", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert sum("was moved since" in line for line in tried.stdout.splitlines()) == 1
    assert sum("to cn1" in line for line in tried.stdout.splitlines()) == len(ours)
    assert cluster.command("host", "failback", "cn1", *WORDS).returncode == 0
    until("the first at home", lambda: hosts_of(cloud, ours), lambda found: "cn1" in found)
    leader = cluster.leader()
    cluster.daemons[leader].signal(signal.SIGKILL)
    until("its end", lambda: cluster.roster().failbacks, lambda found: not found)
    until("all at home", lambda: set(hosts_of(cloud, ours)), lambda found: found == {"cn1"})
    assert hosts_of(cloud, [theirs]) == [elsewhere]
    records = client.get(cloud, "/os-migrations?host=cn1")["migrations"]
    home = [m["instance_uuid"] for m in records if m["dest_compute"] == "cn1" and m["instance_uuid"] in ids]
    assert Counter(home) == Counter(ours), "one migration each"
    wait_written(lab, ours, {"cn1"})
    assert_unharmed(lab, before)


def test_the_role_of_the_daemons_may_do_what_the_documents_say_and_nothing_else(lab: Lab, cloud: Connection, start: START) -> None:
    """All stories here are played with the role of `hanode config policy`; what else an administrator may do is refused to it."""
    (server,) = client.boot(cloud, 1, "cn1")
    least = client.connect(lab, user=HANODE, project="service")
    assert {s["id"] for s in client.servers(least)} == {server}
    tried = {
        "delete": least.compute.delete(f"/servers/{server}"),
        "rename": least.compute.put(f"/servers/{server}", json={"server": {"name": "mine"}}),
        "reset": least.compute.post(f"/servers/{server}/action", json={"os-resetState": {"state": "error"}}),
        "rebuild": least.compute.post(f"/servers/{server}/action", json={"rebuild": {"imageRef": next(cloud.image.images()).id}}),
        "flavor": least.compute.post("/flavors", json={"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}}),
        "aggregate": least.compute.post("/os-aggregates", json={"aggregate": {"name": "a"}}),
        "provider": least.placement.post("/resource_providers", json={"name": "p"}, headers={"OpenStack-API-Version": "placement 1.28"}),
    }
    assert {what: answer.status_code for what, answer in tried.items()} == dict.fromkeys(tried, 403)
    assert client.server(cloud, server)["status"] == "ACTIVE"
    checked = config_check(start())
    assert not [row for row in checked if row["severity"] == "error"]


def config_check(cluster: Cluster) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(cluster.command("config", "check", "-f", "json").stdout)
    return found
