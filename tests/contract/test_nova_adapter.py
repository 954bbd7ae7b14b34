"""Does the adapter say truly what happened, whatever the cloud and the network do? Against a cloud that misbehaves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.core.model import Call
from hanode.errors import Ambiguous, Refused, Unreachable
from tests.contract.scripted_cloud import (
    ACTION,
    COMPUTE,
    SERVERS,
    SERVICES,
    TOKENS,
    Fault,
    Reply,
    Request,
    ScriptedCloud,
    clouds_yaml,
    migration_row,
    refusing_port,
    server_row,
    service_row,
)


@pytest.fixture
def scripted() -> Iterator[ScriptedCloud]:
    cloud = ScriptedCloud()
    cloud.script("GET", SERVICES, Reply(body={"services": [service_row("h1")]}))
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(scripted: ScriptedCloud) -> OpenStackCloud:
    return OpenStackCloud(scripted.credentials())


def impatient(scripted: ScriptedCloud) -> OpenStackCloud:
    """Logged in already, and gives up quickly, so that a test of a silent cloud is short."""
    cloud = OpenStackCloud(scripted.credentials(timeout_s=0.5))
    cloud.connect()
    return cloud


# ------------------------------------------------------------------------ one POST, whatever happens


def test_a_post_that_is_never_answered_is_sent_once_and_is_ambiguous(scripted: ScriptedCloud) -> None:
    """Nova may have accepted it. keystoneauth takes a read timeout for a connect timeout, which it would repeat."""
    scripted.script("POST", ACTION, Fault.HANG)
    with pytest.raises(Ambiguous, match=r"did not answer POST /servers/i1/action.*req-"):
        impatient(scripted).evacuate("i1", "h2", Call.SCHEDULED)
    assert len(scripted.sent("POST", ACTION)) == 1


def test_a_connection_cut_after_the_post_is_ambiguous_and_not_repeated(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """A proxy that dies between us and Nova may have passed it on."""
    scripted.script("POST", ACTION, Fault.RESET)
    with pytest.raises(Ambiguous):
        cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert len(scripted.sent("POST", ACTION)) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 303, 307])
def test_neither_a_server_error_nor_a_redirect_of_a_post_is_repeated(
        scripted: ScriptedCloud, cloud: OpenStackCloud, status: int) -> None:
    """Nova answers 500 after the state was saved; 303 means done; keystoneauth would follow it with another POST."""
    scripted.script("POST", ACTION, Reply(status, headers={"Location": scripted.url + ACTION, "Retry-After": "0"}))
    with pytest.raises(Ambiguous):
        cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert len(scripted.sent("POST", ACTION)) == 1


def test_retries_in_a_clouds_yaml_do_not_make_two_evacuations_of_one(scripted: ScriptedCloud, tmp_path: Path) -> None:
    """An operator's clouds.yaml often carries retries; they are meant for people's commands, not for evacuations."""
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(clouds_yaml(scripted, extra="""
      connect_retries: 3
      compute_connect_retries: 3
      compute_status_code_retries: 3
"""))
    cloud = OpenStackCloud(Credentials(clouds_file=str(clouds), cloud="prod", timeout_s=20.0))
    scripted.script("POST", ACTION, Fault.RESET, Reply(503), Reply(200))
    for _ in range(2):
        with pytest.raises(Ambiguous):
            cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert len(scripted.sent("POST", ACTION)) == 2


def test_an_expired_token_is_renewed_and_the_post_done_once(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """401 comes from the middleware in front of Nova: Nova has not seen the first request, so the second is the only one."""
    def act(request: Request) -> Reply:
        return Reply(200) if request.headers["x-auth-token"] == "token-2" else Reply(401, {"error": {"message": "expired"}})

    scripted.script("POST", ACTION, act)
    cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert [r.headers["x-auth-token"] for r in scripted.sent("POST", ACTION)] == ["token-1", "token-2"]


# ------------------------------------------------------------------------ nothing happened


def test_a_refused_connection_promises_that_nothing_happened(scripted: ScriptedCloud) -> None:
    """The engine may repeat at once; with Ambiguous it would have to wait out the settling time."""
    scripted.script("POST", TOKENS, lambda _: Reply(201, {"token": token_with_compute_at(scripted, refusing_port())},
                                                    {"X-Subject-Token": "t"}))
    with pytest.raises(Unreachable):
        OpenStackCloud(scripted.credentials()).evacuate("i1", "h2", Call.SCHEDULED)


def token_with_compute_at(scripted: ScriptedCloud, port: int) -> dict[str, Any]:
    token: dict[str, Any] = scripted.token()
    for endpoint in token["catalog"][0]["endpoints"]:
        endpoint["url"] = f"http://127.0.0.1:{port}/v2.1"
    return token


def test_a_keystone_that_hangs_before_a_post_promises_that_nothing_happened(scripted: ScriptedCloud) -> None:
    """The token is fetched before anything is sent to Nova."""
    scripted.script("POST", TOKENS, Fault.HANG)
    with pytest.raises(Unreachable, match="Keystone"):
        OpenStackCloud(scripted.credentials(timeout_s=0.5)).evacuate("i1", "h2", Call.SCHEDULED)
    assert scripted.sent("POST", ACTION) == []


@pytest.mark.parametrize("status, key", [(400, "badRequest"), (404, "itemNotFound"), (409, "conflictingRequest")])
def test_a_refusal_carries_novas_own_words_and_its_request_id(
        scripted: ScriptedCloud, cloud: OpenStackCloud, status: int, key: str) -> None:
    """They are what the operator searches Nova's log for."""
    scripted.script("POST", ACTION, Reply(status, {key: {"code": status, "message": "Compute service of h1 is still in use."}},
                                          {"x-openstack-request-id": "req-abc"}))
    with pytest.raises(Refused, match=r"still in use.*\(request req-abc\)"):
        cloud.evacuate("i1", "h2", Call.SCHEDULED)


def test_a_forbidden_call_names_the_remedy(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """A user without the admin role is the commonest mistake of a first installation."""
    scripted.script("POST", ACTION, Reply(403, {"forbidden": {"code": 403, "message": "Policy doesn't allow it"}}))
    with pytest.raises(Refused, match=r"Policy doesn't allow it.*\[keystone\].*admin role"):
        cloud.evacuate("i1", "h2", Call.SCHEDULED)


# ------------------------------------------------------------------------ what is sent


@pytest.mark.parametrize("call, microversion, body", [
    (Call.SCHEDULED, "compute 2.79", {"evacuate": {"host": "h2"}}),
    (Call.STOPPED, "compute 2.95", {"evacuate": {"host": "h2"}}),
    (Call.ON_SHARED_STORAGE, "compute 2.13", {"evacuate": {"host": "h2", "onSharedStorage": True}}),
])
def test_an_evacuation_is_sent_with_its_pinned_microversion(
        scripted: ScriptedCloud, cloud: OpenStackCloud, call: Call, microversion: str, body: object) -> None:
    """From 2.95 on every guest would end stopped; before 2.14 Nova refuses instead of rebuilding a disk."""
    scripted.script("POST", ACTION, Reply(200))
    cloud.evacuate("i1", "h2", call)
    (request,) = scripted.sent("POST", ACTION)
    assert (request.microversion, request.body) == (microversion, body)


def test_every_read_sends_its_pinned_microversion(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Without one, Nova answers as in 2.1: no ids of services, no flavors, no lock reasons."""
    scripted.script("GET", f"{COMPUTE}/os-hypervisors/detail", Reply(body={"hypervisors": []}))
    scripted.script("GET", f"{COMPUTE}/os-aggregates", Reply(body={"aggregates": []}))
    scripted.script("GET", SERVERS, Reply(body={"servers": []}))
    scripted.script("GET", f"{COMPUTE}/os-migrations", Reply(body={"migrations": []}))
    scripted.script("GET", f"{COMPUTE}/servers/i1/os-instance-actions", Reply(body={"instanceActions": []}))
    scripted.script("GET", "/placement/resource_providers/rp/allocations", Reply(body={"allocations": {}}))
    cloud.read_fleet()
    cloud.read_servers("h1")
    cloud.read_migrations("h1")
    cloud.read_stopped_by_owner("i1", "")
    cloud.read_consumption("rp")
    assert {r.path.removeprefix(COMPUTE): r.microversion for r in scripted.requests if r.method == "GET" and r.path != COMPUTE} == {
        "/os-services": "compute 2.69", "/os-hypervisors/detail": "compute 2.53", "/os-aggregates": "compute 2.1",
        "/servers/detail": "compute 2.73", "/os-migrations": "compute 2.59", "/servers/i1/os-instance-actions": "compute 2.62",
        "/placement/resource_providers/rp/allocations": "placement 1.28"}


def test_reasons_longer_than_novas_column_are_cut(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Nova answers 400 to a longer one, and the host would never be disabled."""
    scripted.script("PUT", f"{SERVICES}/s-h1", Reply())
    cloud.disable("s-h1", "hanode:" + "x" * 300)
    (request,) = scripted.sent("PUT", f"{SERVICES}/s-h1")
    assert len(request.body["disabled_reason"]) == 255
    assert request.body["disabled_reason"].startswith("hanode:")


# ------------------------------------------------------------------------ reads are complete or raise


def test_all_pages_of_a_list_are_read(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Nova cuts lists at 1000: the instances behind the cut would be forgotten for ever."""
    more = [{"rel": "next", "href": "http://wrong.example/"}]
    scripted.script("GET", SERVERS, lambda r: Reply(body={
        None: {"servers": [server_row("a", "h1")], "servers_links": more},
        "a": {"servers": [server_row("b", "h1")], "servers_links": more},
        "b": {"servers": []}}[r.query.get("marker")]))
    scripted.script("GET", f"{COMPUTE}/os-migrations", lambda r: Reply(body={
        None: {"migrations": [migration_row(1)], "migrations_links": more},
        "m1": {"migrations": [migration_row(2)]}}[r.query.get("marker")]))
    assert [s.instance_id for s in cloud.read_servers("h1")] == ["a", "b"]
    assert [m.migration_id for m in cloud.read_migrations("h1")] == ["m1", "m2"]


@pytest.mark.parametrize("second", [
    Reply(500, {"computeFault": {"code": 500, "message": "db"}}), Reply(text="<html>"), Reply(body={"nothing": []}), Fault.RESET])
def test_a_page_that_fails_fails_the_whole_read(scripted: ScriptedCloud, cloud: OpenStackCloud, second: Reply | Fault) -> None:
    """Half a list looks like a host with few instances."""
    first = Reply(body={"servers": [server_row("a", "h1")], "servers_links": [{"rel": "next", "href": ""}]})
    scripted.script("GET", SERVERS, first, second)
    with pytest.raises(Unreachable):
        cloud.read_servers("h1")


def test_a_list_that_never_ends_is_a_failed_read(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Some proxies drop the query; following their pages would never end."""
    scripted.script("GET", SERVERS, Reply(body={"servers": [server_row("a", "h1")],
                                                "servers_links": [{"rel": "next", "href": ""}]}))
    with pytest.raises(Unreachable, match="repeats a page"):
        cloud.read_servers("h1")


def test_servers_and_migrations_of_a_silent_cell_are_unknown_not_none(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Nova lists nothing for a cell whose database does not answer, with status 200."""
    scripted.script("GET", SERVICES, Reply(body={"services": [
        {"binary": "nova-compute", "host": "h1", "status": "UNKNOWN"}]}))
    scripted.script("GET", SERVERS, Reply(body={"servers": []}))
    scripted.script("GET", f"{COMPUTE}/os-migrations", Reply(body={"migrations": []}))
    with pytest.raises(Unreachable, match="cell of h1"):
        cloud.read_servers("h1")
    with pytest.raises(Unreachable, match="cell of h1"):
        cloud.read_migrations("h1")


def test_the_services_of_a_silent_cell_have_no_state(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Unknown is not down: its hosts may all be well."""
    scripted.script("GET", SERVICES, Reply(body={"services": [
        {"binary": "nova-compute", "host": "h1", "status": "UNKNOWN"}, service_row("h2")]}))
    scripted.script("GET", f"{COMPUTE}/os-hypervisors/detail", Reply(body={"hypervisors": []}))
    scripted.script("GET", f"{COMPUTE}/os-aggregates", Reply(body={"aggregates": []}))
    hosts = cloud.read_fleet().hosts
    assert (hosts["h1"].service.state, hosts["h2"].service.state) == (None, "up")


def test_an_evacuation_that_moves_on_while_it_is_looked_for_is_not_missed(
        scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Nova lists one status a call; a record missed here would let a host be released too early."""
    lists = {"accepted": [], "pre-migrating": [migration_row(1) | {"status": "pre-migrating"}], "done": [migration_row(1)]}
    scripted.script("GET", f"{COMPUTE}/os-migrations", lambda r: Reply(body={"migrations": lists[r.query["status"]]}))
    assert [(m.migration_id, m.status) for m in cloud.read_evacuations()] == [("m1", "done")]
    assert [r.query["status"] for r in scripted.sent("GET", f"{COMPUTE}/os-migrations")] == ["accepted", "pre-migrating", "done"]


def test_evacuations_are_unknown_while_any_cell_is_silent(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Its records are left out without a word, and may be the ones that forbid a release."""
    scripted.script("GET", f"{COMPUTE}/os-migrations", Reply(body={"migrations": []}))
    scripted.script("GET", SERVICES, Reply(body={"services": [
        service_row("h1"), {"binary": "nova-compute", "host": "h2", "status": "UNKNOWN"}]}))
    with pytest.raises(Unreachable, match="that of h2"):
        cloud.read_evacuations()


def test_a_server_of_a_silent_cell_is_unknown_not_on_no_host(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Nova shows a stub of it, without host and state."""
    scripted.script("GET", f"{COMPUTE}/servers/i1", Reply(body={"server": {
        "id": "i1", "status": "UNKNOWN", "tenant_id": "p", "created": "2026-01-01T00:00:00Z", "links": []}}))
    with pytest.raises(Unreachable):
        cloud.read_instance("i1")


def test_a_404_of_a_proxy_does_not_mean_that_the_instance_was_deleted(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """A load balancer without back ends answers 404 in HTML; taking it for a deletion would abandon the instance."""
    scripted.script("GET", f"{COMPUTE}/servers/i1", Reply(404, text="<html>no such backend</html>"))
    with pytest.raises(Unreachable):
        cloud.read_instance("i1")
    scripted.script("GET", f"{COMPUTE}/servers/i1", Reply(404, {"itemNotFound": {"code": 404, "message": "Instance i1"}}))
    assert cloud.read_instance("i1") is None


def test_a_host_filter_that_nova_ignored_is_noticed(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Without the right policy Nova drops the filter silently and lists healthy hosts' servers as those of the dead one."""
    scripted.script("GET", SERVERS, Reply(body={"servers": [server_row("a", "h1"), server_row("b", "h2")]}))
    with pytest.raises(Refused, match="other hosts"):
        cloud.read_servers("h1")


def test_only_the_fixed_addresses_of_a_server_are_its_own(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """A floating one may be given to another server while this one is down."""
    ports = {kind: {"addr": address, "version": 4, "OS-EXT-IPS:type": kind} for kind, address in
             {"fixed": "203.0.113.5", "floating": "198.51.100.7"}.items()}
    row = server_row("a", "h1", addresses={"provider": [ports["floating"], ports["fixed"]], "unused": []})
    scripted.script("GET", SERVERS, Reply(body={"servers": [row]}))
    assert cloud.read_servers("h1")[0].addresses == ("203.0.113.5",)


def test_soft_deleted_servers_are_left_out(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Their owner deleted them; evacuating one resurrects it."""
    scripted.script("GET", SERVERS, Reply(body={"servers": [
        server_row("a", "h1"), server_row("b", "h1", **{"OS-EXT-STS:vm_state": "soft-delete"})]}))
    assert [s.instance_id for s in cloud.read_servers("h1")] == ["a"]


def test_inventory_is_asked_for_once_a_minute_only(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """os-services is polled every few seconds; hypervisors and aggregates of 10,000 hosts need not be."""
    scripted.script("GET", f"{COMPUTE}/os-hypervisors/detail", Reply(body={"hypervisors": []}))
    scripted.script("GET", f"{COMPUTE}/os-aggregates", Reply(body={"aggregates": []}))
    for _ in range(3):
        cloud.read_fleet()
    assert [len(scripted.sent("GET", f"{COMPUTE}{path}")) for path in ("/os-services", "/os-hypervisors/detail")] == [3, 1]


@pytest.mark.parametrize("change", [
    {"state": "down"}, {"state": None}, {"status": "disabled"}, {"forced_down": True}, {"updated_at": "later"},
    {"disabled_reason": "disk swap"}, {"id": "registered anew"},
])
def test_what_a_poll_shows_as_before_is_the_same_fact_and_what_changed_is_seen_at_once(
        scripted: ScriptedCloud, cloud: OpenStackCloud, change: dict[str, object]) -> None:
    """So nothing is worked out again of those that did not change: nearly all of ten thousand, each few seconds."""
    scripted.script("GET", f"{COMPUTE}/os-hypervisors/detail", Reply(body={"hypervisors": []}))
    scripted.script("GET", f"{COMPUTE}/os-aggregates", Reply(body={"aggregates": []}))
    rows = [service_row("h1"), service_row("h2")]
    seen = []
    for shown in (rows, rows, [{**rows[0], **change}, rows[1]], rows):
        scripted.script("GET", SERVICES, Reply(body={"services": shown}))
        seen.append(cloud.read_fleet().hosts)
    first, same, changed, back = seen
    assert all(hosts["h2"] is first["h2"] for hosts in seen)
    assert same["h1"] is first["h1"]
    assert changed["h1"] != first["h1"]
    assert back["h1"] == first["h1"]


@pytest.mark.parametrize("action, user, start, stopped", [
    ("stop", "u1", "2026-01-01T00:00:05.000000", True),
    ("shelve", "u1", "2026-01-01T00:00:05.000000", True),
    ("stop", None, "2026-01-01T00:00:05.000000", False),
    ("stop", "u1", "2026-01-01T00:00:03.000000", False),
    ("reboot", "u1", "2026-01-01T00:00:05.000000", False),
])
def test_only_a_users_stop_after_the_failure_counts_as_the_owners_will(
        scripted: ScriptedCloud, cloud: OpenStackCloud, action: str, user: str | None, start: str, stopped: bool) -> None:
    """Nova records a stop without a user when it finds the guest off: that is the failure itself."""
    scripted.script("GET", f"{COMPUTE}/servers/i1/os-instance-actions", Reply(body={"instanceActions": [
        {"action": action, "user_id": user, "start_time": start, "request_id": "req-1"}]}))
    assert cloud.read_stopped_by_owner("i1", "2026-01-01T00:00:04.000000Z") is stopped


def test_room_of_a_host_that_placement_does_not_know_is_missing_not_zero(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """The others' room is still good to know."""
    scripted.script("GET", "/placement/resource_providers/rp1/inventories", Reply(body={"inventories": {
        "VCPU": {"total": 10, "reserved": 2, "allocation_ratio": 1.5}}}))
    scripted.script("GET", "/placement/resource_providers/rp1/usages", Reply(body={"usages": {"VCPU": 5}}))
    scripted.script("GET", "/placement/resource_providers/rp2/inventories", Reply(404, {"errors": [{"detail": "No provider"}]}))
    assert cloud.read_room({"h1": "rp1", "h2": "rp2"}) == {"h1": {"VCPU": 7}}


def test_room_is_unknown_when_placement_is_ill(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """An empty answer would say that no host has any room."""
    for provider in ("rp1", "rp2"):
        scripted.script("GET", f"/placement/resource_providers/{provider}/inventories", Reply(503))
    with pytest.raises(Unreachable):
        cloud.read_room({"h1": "rp1", "h2": "rp2"})


def test_images_to_skip_are_found_by_tag_also_when_hidden(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Amphorae made from a rotated, hidden image still run."""
    scripted.script("GET", "/image/v2/images", lambda r: Reply(body={"images": [
        {"id": f"{r.query['tag']}-{r.query['os_hidden']}"}]}))
    assert cloud.read_skip_images() == {"amphora-image-false", "amphora-image-true", "amphora-false", "amphora-true"}


def test_a_long_list_of_images_is_read_to_its_end(scripted: ScriptedCloud) -> None:
    """Glance cuts lists at 25 by default and links the next page in its own way."""
    cloud = OpenStackCloud(scripted.credentials(), skip_image_tags=["amphora"])
    scripted.script("GET", "/image/v2/images", lambda r: Reply(body={"images": [{"id": "b"}]} if "marker" in r.query else {
        "images": [{"id": "a"}], "next": "/v2/images?marker=a"}))
    assert cloud.read_skip_images() == {"a", "b"}


def test_only_agents_that_wire_ports_count_and_those_that_neutron_calls_alive_are_well() -> None:
    """A dead metadata or DHCP agent keeps no guest from its network."""
    scripted = ScriptedCloud(services=("compute", "network"))
    rows = [{"id": f"{kind}-{host}", "agent_type": kind, "host": host, "alive": alive} for kind, host, alive in (
        ("Open vSwitch agent", "h1", True), ("Open vSwitch agent", "h2", False), ("Metadata agent", "h3", False),
        ("OVN Controller agent", "h4", False), ("Linux bridge agent", "h5", True), ("DHCP agent", "h1", False))]
    try:
        scripted.script("GET", "/network/v2.0/agents", Reply(body={"agents": rows}))
        assert OpenStackCloud(scripted.credentials()).read_dead_agents() == {"h2", "h4"}
    finally:
        scripted.stop()


def test_a_cloud_without_network_service_has_no_dead_agents() -> None:
    """There nothing is to be wired by anybody."""
    scripted = ScriptedCloud(services=("compute",))
    try:
        assert OpenStackCloud(scripted.credentials()).read_dead_agents() == frozenset()
    finally:
        scripted.stop()


def test_a_cloud_without_image_service_has_nothing_to_skip() -> None:
    """Such a cloud boots from volumes only."""
    scripted = ScriptedCloud(services=("compute",))
    try:
        assert OpenStackCloud(scripted.credentials()).read_skip_images() == frozenset()
    finally:
        scripted.stop()


def test_request_ids_are_logged_for_every_call(scripted: ScriptedCloud, cloud: OpenStackCloud,
                                               caplog: pytest.LogCaptureFixture) -> None:
    """They tie our log to Nova's, and to the instance action of an evacuation."""
    scripted.script("POST", ACTION, Reply(200, headers={"x-openstack-request-id": "req-77"}))
    with caplog.at_level(logging.DEBUG, logger="hanode.adapters.rest"):
        cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert "(request req-77)" in caplog.text
    assert scripted.sent("POST", ACTION)[0].headers["x-openstack-request-id"].startswith("req-")
