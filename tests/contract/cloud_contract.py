"""What does everybody who implements `ports.Cloud` promise? One suite, for any cloud that a fixture can offer.

A module that wants its cloud judged subclasses `CloudContract` and gives a fixture `cloud_under_test`. For a real Nova the
callables do the real thing: `kill` cuts the power, `wait_until` polls with a generous limit. `SharedCloudContract` alone is the part
that may be asked of a cloud in which others work: nobody's host is harmed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hanode.core.facts import Host, Instance
from hanode.core.model import Call
from hanode.errors import Refused
from hanode.ports import Cloud

NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class CloudUnderTest:
    """`host` has at least one running and one stopped server, `target` sees the same storage and has room."""

    cloud: Cloud
    host: str
    target: str
    names: frozenset[str]  # all compute hosts
    kill: Callable[[], None]  # cut the host's power
    bring_back: Callable[[], None]  # power it on again, with nova-compute
    stop_as_owner: Callable[[str], None]
    wait_until: Callable[[Callable[[], bool]], None]
    ours: frozenset[str] | None = None  # the servers that a test may lock, stop and move; None: all

    def find(self, vm_state: str) -> Instance:
        found = (server for server in self.cloud.read_servers(self.host) if self.ours is None or server.instance_id in self.ours)
        return next(server for server in found if server.vm_state == vm_state)

    def read_host(self) -> Host:
        return self.cloud.read_fleet().hosts[self.host]

    def fail(self) -> str:
        """The host is dead and Nova has been told; returns its service id."""
        service_id = self.read_host().service.service_id
        self.kill()
        self.cloud.force_down(service_id)
        return service_id

    def evacuate(self, server: Instance, call: Call = Call.SCHEDULED) -> None:
        self.cloud.evacuate(server.instance_id, self.target, call)
        self.wait_until(lambda: self.has_moved(server))

    def has_moved(self, server: Instance) -> bool:
        now = self.cloud.read_instance(server.instance_id)
        return now is not None and now.host == self.target and now.task_state is None


def runs(now: Instance | None) -> bool:
    return now is not None and (now.vm_state, now.task_state) == ("active", None)


class SharedCloudContract:
    """Reads, and what may be done with one's own servers."""

    def test_the_identity_never_changes(self, cloud_under_test: CloudUnderTest) -> None:
        """The journal belongs to one cloud; another identity refuses to start."""
        assert cloud_under_test.cloud.identity() == cloud_under_test.cloud.identity() != ""

    def test_the_fleet_has_every_compute_host_with_its_hypervisor(self, cloud_under_test: CloudUnderTest) -> None:
        """What is missing here is not protected."""
        fleet = cloud_under_test.cloud.read_fleet()
        assert set(fleet.hosts) == cloud_under_test.names
        for name, host in fleet.hosts.items():
            assert (host.service.host, host.service.binary, host.service.state) == (name, "nova-compute", "up")
            assert host.hypervisor is not None
            assert host.hypervisor.provider_id
        assert {service.binary for service in fleet.control} == {"nova-conductor", "nova-scheduler"}

    def test_aggregates_are_joined_to_their_hosts(self, cloud_under_test: CloudUnderTest) -> None:
        """Storage domains and policies are declared by aggregates."""
        host = cloud_under_test.read_host()
        assert all(host.name in aggregate.hosts for aggregate in host.aggregates)
        assert [a.name for a in host.aggregates] == sorted(a.name for a in host.aggregates)
        assert host.metadata("hanode:storage")

    def test_servers_of_a_host_are_all_on_it_and_known_one_by_one(self, cloud_under_test: CloudUnderTest) -> None:
        """Two ways to ask must not tell two stories."""
        servers = cloud_under_test.cloud.read_servers(cloud_under_test.host)
        assert {"active", "stopped"} <= {server.vm_state for server in servers}
        for server in servers:
            assert server.host == cloud_under_test.host
            assert cloud_under_test.cloud.read_instance(server.instance_id) == server

    def test_an_unknown_server_is_none(self, cloud_under_test: CloudUnderTest) -> None:
        """Its owner may delete it at any time; that is no error."""
        assert cloud_under_test.cloud.read_instance(NOBODY) is None

    def test_placement_knows_who_holds_what_and_what_is_left(self, cloud_under_test: CloudUnderTest) -> None:
        """Room that is wrong here overloads a target, or leaves instances waiting beside an empty host."""
        server, host = cloud_under_test.find("active"), cloud_under_test.read_host()
        assert host.hypervisor is not None
        held = cloud_under_test.cloud.read_consumption(host.hypervisor.provider_id)
        assert held[server.instance_id]["VCPU"] == server.vcpus
        assert held[server.instance_id]["MEMORY_MB"] == server.ram_mb
        room = cloud_under_test.cloud.read_room({host.name: host.hypervisor.provider_id, "no such host": NOBODY})
        assert set(room) == {host.name}
        assert room[host.name]["VCPU"] > 0

    def test_images_to_skip_can_be_read(self, cloud_under_test: CloudUnderTest) -> None:
        """A cloud without any is no error."""
        assert isinstance(cloud_under_test.cloud.read_skip_images(), frozenset)

    def test_the_size_of_a_hosts_disk_space_is_told(self, cloud_under_test: CloudUnderTest) -> None:
        """A share that is not mounted shows in it: all hosts of a store report the same."""
        hosts = cloud_under_test.cloud.read_fleet().hosts
        sizes = {name: host.hypervisor.disk_gb for name, host in hosts.items() if host.hypervisor is not None}
        assert sizes.keys() == cloud_under_test.names
        assert all(size > 0 for size in sizes.values())

    def test_hosts_whose_network_agent_is_dead_can_be_read(self, cloud_under_test: CloudUnderTest) -> None:
        """A cloud without Neutron has none, and that is no error."""
        assert cloud_under_test.host not in cloud_under_test.cloud.read_dead_agents()

    def test_an_unknown_service_is_refused(self, cloud_under_test: CloudUnderTest) -> None:
        """It was deleted; repeating is pointless."""
        with pytest.raises(Refused):
            cloud_under_test.cloud.force_down(NOBODY)

    def test_a_lock_shows_its_reason_and_may_be_repeated(self, cloud_under_test: CloudUnderTest) -> None:
        """Owners must see why they cannot act, and a repeated step must not fail."""
        server = cloud_under_test.find("active")
        for _ in range(2):
            cloud_under_test.cloud.lock(server.instance_id, "hanode: being evacuated")
        locked = cloud_under_test.cloud.read_instance(server.instance_id)
        assert locked is not None
        assert (locked.locked, locked.locked_reason) == (True, "hanode: being evacuated")
        for _ in range(2):
            cloud_under_test.cloud.unlock(server.instance_id)
        unlocked = cloud_under_test.cloud.read_instance(server.instance_id)
        assert unlocked is not None
        assert (unlocked.locked, unlocked.locked_reason) == (False, "")

    def test_start_and_stop_are_refused_in_the_wrong_state(self, cloud_under_test: CloudUnderTest) -> None:
        """So a repeated start cannot do harm: it is a clear no."""
        with pytest.raises(Refused):
            cloud_under_test.cloud.start(cloud_under_test.find("active").instance_id)
        with pytest.raises(Refused):
            cloud_under_test.cloud.stop(cloud_under_test.find("stopped").instance_id)

    def test_a_stopped_server_can_be_started_and_stopped(self, cloud_under_test: CloudUnderTest) -> None:
        """How states from before a failure are put back."""
        cloud, server = cloud_under_test.cloud, cloud_under_test.find("stopped")

        def is_in(vm_state: str) -> bool:
            now = cloud.read_instance(server.instance_id)
            return now is not None and (now.vm_state, now.task_state) == (vm_state, None)

        cloud.start(server.instance_id)
        cloud_under_test.wait_until(lambda: is_in("active"))
        cloud.stop(server.instance_id)
        cloud_under_test.wait_until(lambda: is_in("stopped"))

    def test_a_stop_by_the_owner_is_known_as_such(self, cloud_under_test: CloudUnderTest) -> None:
        """What its owner stopped is not started again when its host comes home."""
        server, before = cloud_under_test.find("active"), cloud_under_test.read_host().service.updated_at
        cloud_under_test.wait_until(lambda: cloud_under_test.read_host().service.updated_at != before)
        assert cloud_under_test.cloud.read_stopped_by_owner(server.instance_id, before) is False
        cloud_under_test.stop_as_owner(server.instance_id)
        assert cloud_under_test.cloud.read_stopped_by_owner(server.instance_id, before) is True

    def test_a_host_in_use_is_not_evacuated(self, cloud_under_test: CloudUnderTest) -> None:
        """Nova refuses while the service is up; nothing has happened then."""
        server = cloud_under_test.find("active")
        with pytest.raises(Refused):
            cloud_under_test.cloud.evacuate(server.instance_id, cloud_under_test.target, Call.SCHEDULED)
        assert cloud_under_test.cloud.read_instance(server.instance_id) == server


class CloudContract(SharedCloudContract):
    """And what needs hosts that may die."""

    def test_force_down_makes_a_dead_host_down_at_once(self, cloud_under_test: CloudUnderTest) -> None:
        """Nova itself would wait for service_down_time. It may be repeated."""
        service_id = cloud_under_test.fail()
        cloud_under_test.cloud.force_down(service_id)
        service = cloud_under_test.read_host().service
        assert (service.forced_down, service.state) == (True, "down")
        cloud_under_test.cloud.clear_force_down(service_id)
        cloud_under_test.cloud.clear_force_down(service_id)
        assert cloud_under_test.read_host().service.forced_down is False

    def test_disabling_leaves_our_reason_in_nova(self, cloud_under_test: CloudUnderTest) -> None:
        """By the reason we know our own mark; enabling takes it away. Both may be repeated."""
        service_id = cloud_under_test.read_host().service.service_id
        for _ in range(2):
            cloud_under_test.cloud.disable(service_id, "hanode: fenced")
        service = cloud_under_test.read_host().service
        assert (service.status, service.disabled_reason) == ("disabled", "hanode: fenced")
        for _ in range(2):
            cloud_under_test.cloud.enable(service_id)
        service = cloud_under_test.read_host().service
        assert (service.status, service.disabled_reason) == ("enabled", "")

    def test_an_evacuation_to_nowhere_or_of_nobody_is_refused(self, cloud_under_test: CloudUnderTest) -> None:
        """A host may be removed between the decision and the request."""
        server = cloud_under_test.find("active")
        cloud_under_test.fail()
        for instance_id, target in ((server.instance_id, "no-such-host"), (NOBODY, cloud_under_test.target),
                                    (server.instance_id, cloud_under_test.host)):
            with pytest.raises(Refused):
                cloud_under_test.cloud.evacuate(instance_id, target, Call.SCHEDULED)

    def test_an_evacuated_server_runs_on_its_target_and_nova_has_a_record(self, cloud_under_test: CloudUnderTest) -> None:
        """The record is the only evidence of what happened to a request."""
        cloud, server = cloud_under_test.cloud, cloud_under_test.find("active")
        known = {record.migration_id for record in cloud.read_migrations(cloud_under_test.host)}
        cloud_under_test.fail()
        cloud.evacuate(server.instance_id, cloud_under_test.target, Call.SCHEDULED)
        new = [record for record in cloud.read_migrations(cloud_under_test.host) if record.migration_id not in known]
        assert [(r.instance_id, r.kind, r.source) for r in new] == [
            (server.instance_id, "evacuation", cloud_under_test.host)]
        assert new[0].blocks_release
        cloud_under_test.wait_until(lambda: cloud_under_test.has_moved(server))
        moved = cloud.read_instance(server.instance_id)
        assert moved is not None
        assert (moved.vm_state, moved.power_state) == ("active", "running")

    def test_what_is_evacuated_to_be_started_later_ends_stopped_and_can_be_started(self, cloud_under_test: CloudUnderTest) -> None:
        """From 2.95 on, whatever it did before; and that was not its owner's wish."""
        cloud, server = cloud_under_test.cloud, cloud_under_test.find("active")
        before = cloud_under_test.read_host().service.updated_at
        cloud_under_test.fail()
        cloud_under_test.evacuate(server, Call.STOPPED)
        moved = cloud.read_instance(server.instance_id)
        assert moved is not None
        assert (moved.vm_state, moved.power_state) == ("stopped", "shutdown")
        assert cloud.read_stopped_by_owner(server.instance_id, before) is False
        cloud.start(server.instance_id)
        cloud_under_test.wait_until(lambda: runs(cloud.read_instance(server.instance_id)))

    def test_records_are_found_from_both_ends(self, cloud_under_test: CloudUnderTest) -> None:
        """A host that is the target of an open evacuation must not be released or chosen either."""
        cloud, server = cloud_under_test.cloud, cloud_under_test.find("active")
        cloud_under_test.fail()
        cloud_under_test.evacuate(server)

        def is_done() -> bool:
            return any(r.instance_id == server.instance_id and r.status == "done"
                       for r in cloud.read_migrations(cloud_under_test.target))

        cloud_under_test.wait_until(is_done)
        record = next(r for r in cloud.read_evacuations() if r.instance_id == server.instance_id)
        assert (record.source, record.target, record.status) == (cloud_under_test.host, cloud_under_test.target, "done")
        assert record in cloud.read_migrations(cloud_under_test.host)
        assert record in cloud.read_migrations(cloud_under_test.target)

    def test_a_stopped_server_is_stopped_after_its_evacuation(self, cloud_under_test: CloudUnderTest) -> None:
        """Up to microversion 2.94 Nova keeps the power state."""
        server = cloud_under_test.find("stopped")
        cloud_under_test.fail()
        cloud_under_test.evacuate(server)
        moved = cloud_under_test.cloud.read_instance(server.instance_id)
        assert moved is not None
        assert moved.vm_state == "stopped"

    def test_a_host_is_not_forced_up_while_its_evacuations_are_not_cleaned_up(self, cloud_under_test: CloudUnderTest) -> None:
        """Its next start would destroy guests that came back meanwhile; only a restart of nova-compute cleans up."""
        service_id, server = cloud_under_test.fail(), cloud_under_test.find("active")
        cloud_under_test.evacuate(server)
        cloud_under_test.wait_until(lambda: any(
            r.instance_id == server.instance_id and r.status == "done" for r in cloud_under_test.cloud.read_evacuations()))
        with pytest.raises(Refused):
            cloud_under_test.cloud.clear_force_down(service_id)
        cloud_under_test.bring_back()
        cloud_under_test.wait_until(lambda: not any(
            r.source == cloud_under_test.host for r in cloud_under_test.cloud.read_evacuations()))
        cloud_under_test.cloud.clear_force_down(service_id)
        cloud_under_test.wait_until(lambda: cloud_under_test.read_host().service.state == "up")
