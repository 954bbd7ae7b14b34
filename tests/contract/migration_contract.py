"""What is promised of Nova's own migrations, by which hosts are drained? For clouds whose hypervisor can migrate.

The lab's guests are processes, which cannot; so this is asked of the adapters over HTTP and of the simulator.
"""

from __future__ import annotations

import pytest

from hanode.core.facts import Instance
from hanode.errors import Refused
from tests.contract.cloud_contract import NOBODY, CloudUnderTest


class MigrationContract:
    def test_a_live_migrated_server_runs_on_its_target(self, cloud_under_test: CloudUnderTest) -> None:
        """And Nova has a record of it, by which it is followed."""
        cloud, server = cloud_under_test.cloud, cloud_under_test.find("active")
        cloud.live_migrate(server.instance_id, cloud_under_test.target)
        cloud_under_test.wait_until(lambda: cloud_under_test.has_moved(server))
        moved = cloud.read_instance(server.instance_id)
        assert moved is not None
        assert (moved.vm_state, moved.power_state) == ("active", "running")
        records = [r for r in cloud.read_migrations(cloud_under_test.host) if r.instance_id == server.instance_id]
        assert [(r.kind, r.source, r.target, r.is_open) for r in records] == [
            ("live-migration", cloud_under_test.host, cloud_under_test.target, False)]

    def test_a_second_migration_is_refused_while_the_first_one_runs(self, cloud_under_test: CloudUnderTest) -> None:
        """By this a request whose answer was lost may be repeated."""
        server = cloud_under_test.find("active")
        cloud_under_test.cloud.live_migrate(server.instance_id, cloud_under_test.target)
        with pytest.raises(Refused):
            cloud_under_test.cloud.live_migrate(server.instance_id, cloud_under_test.target)
        cloud_under_test.wait_until(lambda: cloud_under_test.has_moved(server))
        with pytest.raises(Refused):
            cloud_under_test.cloud.live_migrate(server.instance_id, cloud_under_test.target)

    def test_a_cold_migrated_server_waits_to_be_confirmed(self, cloud_under_test: CloudUnderTest) -> None:
        """Until then its disk is kept at both ends, and the host that it left is not free of it."""
        cloud, server = cloud_under_test.cloud, cloud_under_test.find("stopped")
        cloud.cold_migrate(server.instance_id, cloud_under_test.target)

        def now() -> Instance:
            found = cloud.read_instance(server.instance_id)
            assert found is not None
            return found

        cloud_under_test.wait_until(lambda: now().vm_state == "resized" and now().task_state is None)
        cloud.confirm_migration(server.instance_id)
        cloud_under_test.wait_until(lambda: now().vm_state == "stopped")
        assert now().host == cloud_under_test.target

    def test_what_cannot_be_migrated_is_refused(self, cloud_under_test: CloudUnderTest) -> None:
        """Nothing has happened then."""
        cloud, target = cloud_under_test.cloud, cloud_under_test.target
        stopped, active = cloud_under_test.find("stopped"), cloud_under_test.find("active")
        for call, instance_id in ((cloud.live_migrate, stopped.instance_id), (cloud.live_migrate, NOBODY), (cloud.cold_migrate, NOBODY)):
            with pytest.raises(Refused):
                call(instance_id, target)
        with pytest.raises(Refused):
            cloud.confirm_migration(active.instance_id)
        assert cloud.read_instance(active.instance_id) == active
