"""How does a nova-compute look whose guests, disks and storage are real, without a hypervisor?

A subclass of Nova's fake driver for the lab. It is copied into the installed `nova/virt`, because Nova
loads drivers from nowhere else. A guest is a process in the process group of its host; a disk is a file
in the directory of the host's storage domain. What libvirt would do with them is done, including what
hurts: a disk that is not there is made anew in silence, and a guest does not come back by itself.
Migrations leave the disk where it is, on the share; between domains there is none, live or cold.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import nova.conf  # type: ignore[import-not-found]
from nova import exception
from nova.compute import power_state, vm_states  # type: ignore[import-not-found]
from nova.virt import fake, hardware, node  # type: ignore[import-not-found]
from oslo_log import log as logging

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

GUEST = os.environ.get("HANODE_LAB_GUEST", "guest")


def start_time_and_state(pid: int) -> tuple[int, str] | None:
    """When the kernel started this process, and the letter of its state."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19]), fields[0]


class Definitions:
    """What libvirt keeps in its domain definitions: survives the host, says nothing about running."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.known: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            self.known = json.loads(path.read_text())

    def put(self, instance_uuid: str, **fields: Any) -> None:
        with self.lock:
            self.known.setdefault(instance_uuid, {}).update(fields)
            self.write()

    def drop(self, instance_uuid: str) -> None:
        with self.lock:
            self.known.pop(instance_uuid, None)
            self.write()

    def write(self) -> None:
        # Power may go at any moment: the old file or the new one, never half of one.
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.known))
        new.rename(self.path)


class HanodeLabDriver(fake.MediumFakeDriver):
    """Ten vCPUs; with the usual ratio of four, a host takes forty guests of one vCPU."""

    def init_host(self, host: str) -> None:
        super().init_host(host)
        self.definitions = Definitions(Path(CONF.state_path) / "hypervisor.json")
        for known in self.definitions.known.values():
            self.resources.claim(*known["resources"])

    # Who this host is: the persistent identity, as nova-compute insists on it after a restart.

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        return {node.get_local_node_uuid(): self._host}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        resources: dict[str, Any] = super().get_available_resource(nodename)
        if resources:
            resources["uuid"] = node.get_local_node_uuid()
        return resources

    def get_host_ip_addr(self) -> str:
        return str(CONF.my_ip)

    # Which guests there are, and what they do.

    def list_instances(self) -> list[str]:
        return [known["name"] for known in self.definitions.known.values()]

    def list_instance_uuids(self) -> list[str]:
        return list(self.definitions.known)

    def instance_exists(self, instance: Any) -> bool:
        return instance.uuid in self.definitions.known

    def get_num_instances(self) -> int:
        return len(self.definitions.known)

    def _definition(self, instance: Any) -> dict[str, Any]:
        try:
            return self.definitions.known[instance.uuid]
        except KeyError:
            raise exception.InstanceNotFound(instance_id=instance.uuid) from None

    def _process(self, instance: Any) -> tuple[int, str] | None:
        """The pid of the living guest and the letter of its state."""
        known = self._definition(instance)
        seen = start_time_and_state(known["pid"]) if "pid" in known else None
        if seen is None or seen[0] != known["start"] or seen[1] in "ZX":
            return None
        return known["pid"], seen[1]

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        guest = self._process(instance)
        if guest is None:
            return hardware.InstanceInfo(state=power_state.SHUTDOWN)
        return hardware.InstanceInfo(state=power_state.PAUSED if guest[1] == "T" else power_state.RUNNING)

    # Disks.

    def _directory(self, instance: Any) -> Path:
        return Path(CONF.instances_path, instance.uuid)

    def _disks(self, instance: Any) -> list[Path]:
        flavor = instance.flavor
        names = ["disk"]
        if flavor.ephemeral_gb:
            names.append("disk.eph0")
        if flavor.swap:
            names.append("disk.swap")
        return [self._directory(instance) / name for name in names]

    def _create_missing_disks(self, instance: Any) -> None:
        self._directory(instance).mkdir(parents=True, exist_ok=True)
        for disk in self._disks(instance):
            if disk.exists():
                LOG.info("using existing disk %s", disk, instance=instance)
                continue
            LOG.info("creating disk %s", disk, instance=instance)
            birth = f"# birth {instance.uuid} {disk.name} {CONF.host} {time.monotonic():.6f} {uuid.uuid4().hex}\n"
            with disk.open("x") as new:
                new.write(birth)

    def instance_on_disk(self, instance: Any) -> bool:
        return os.access(self._directory(instance), os.W_OK)

    def check_instance_shared_storage_local(self, context: Any, instance: Any) -> dict[str, str] | None:
        directory = self._directory(instance)
        if not directory.exists():
            return None
        handle, path = tempfile.mkstemp(dir=directory)
        os.close(handle)
        # Relative: each host reaches the common directory by a path of its own.
        return {"filename": str(Path(path).relative_to(CONF.instances_path))}

    def check_instance_shared_storage_remote(self, context: Any, data: dict[str, str]) -> bool:
        return (Path(CONF.instances_path) / data["filename"]).exists()

    def check_instance_shared_storage_cleanup(self, context: Any, data: dict[str, str]) -> None:
        (Path(CONF.instances_path) / data["filename"]).unlink(missing_ok=True)

    # Life and death of guests. Nova passes more than is needed here, in an order that its base class fixes.

    def _start_guest(self, instance: Any) -> None:
        if self._process(instance):
            return
        argv = [GUEST, CONF.host, *map(str, self._disks(instance))]
        started = subprocess.run(argv, capture_output=True, text=True)
        seen = start_time_and_state(int(started.stdout)) if started.returncode == 0 else None
        if seen is None:
            raise exception.InstancePowerOnFailure(reason=started.stderr or "the guest did not start")
        self.definitions.put(instance.uuid, pid=int(started.stdout), start=seen[0])

    def _signal_guest(self, instance: Any, how: signal.Signals) -> None:
        guest = self._process(instance)
        if guest:
            os.kill(guest[0], how)

    def _stop_guest(self, instance: Any) -> None:
        self._signal_guest(instance, signal.SIGKILL)
        while self._process(instance):
            time.sleep(0.01)

    def _suffer(self) -> None:
        """The faults that a test left in faults.json: a slow, a hanging or a failing spawn."""

        def faults() -> dict[str, Any]:
            try:
                return dict(json.loads((Path(CONF.state_path) / "faults.json").read_text()))
            except FileNotFoundError:
                return {}

        time.sleep(faults().get("spawn_delay_s", 0))
        while faults().get("spawn_hang"):
            time.sleep(0.5)
        if faults().get("spawn_fail"):
            raise exception.NovaException(f"spawn fails on {CONF.host} by order")

    def _define(self, instance: Any) -> None:
        flavor = instance.flavor
        resources = [flavor.vcpus, flavor.memory_mb, flavor.root_gb]
        if instance.uuid not in self.definitions.known:
            self.resources.claim(*resources)
        self.definitions.put(instance.uuid, name=instance.name, resources=resources)

    def spawn(self, context: Any, instance: Any, *_of_image_and_network: Any, power_on: bool = True, **_more: Any) -> None:
        self._suffer()
        self._create_missing_disks(instance)
        self._define(instance)
        if power_on:
            self._start_guest(instance)

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        if instance.uuid in self.definitions.known:
            self._stop_guest(instance)
            self.resources.release(*self._definition(instance)["resources"])
            self.definitions.drop(instance.uuid)
        self.cleanup(context, instance, network_info, block_device_info, destroy_disks)

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        **_more: Any,
    ) -> None:
        if destroy_disks:
            LOG.info("deleting disks in %s", self._directory(instance), instance=instance)
            shutil.rmtree(self._directory(instance), ignore_errors=True)

    def power_on(self, context: Any, instance: Any, *_more: Any, **_named: Any) -> None:
        self._start_guest(instance)

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        self._stop_guest(instance)

    def reboot(self, context: Any, instance: Any, *_more: Any, **_named: Any) -> None:
        # Like libvirt: a hard reboot defines and starts a guest that is not there.
        if instance.uuid in self.definitions.known:
            self._stop_guest(instance)
            self._start_guest(instance)
        else:
            self.spawn(context, instance)

    def pause(self, instance: Any) -> None:
        self._signal_guest(instance, signal.SIGSTOP)

    def unpause(self, instance: Any) -> None:
        self._signal_guest(instance, signal.SIGCONT)

    def suspend(self, context: Any, instance: Any) -> None:
        # A managed save: the process ends, its memory would be in a file.
        self._stop_guest(instance)

    def resume(self, context: Any, instance: Any, *_more: Any, **_named: Any) -> None:
        self._start_guest(instance)

    def rescue(self, context: Any, instance: Any, *_more: Any, **_named: Any) -> None:
        self._stop_guest(instance)
        self._start_guest(instance)

    def unrescue(self, context: Any, instance: Any) -> None:
        self._stop_guest(instance)
        self._start_guest(instance)

    def resume_state_on_host_boot(self, context: Any, instance: Any, *_more: Any, **_named: Any) -> None:
        self._start_guest(instance)

    # Live migration: the guest ends here and goes on there, on the same disk. Nova asks in this order, there, here, there, here, there.

    def check_can_live_migrate_destination(
        self,
        context: Any,
        instance: Any,
        src_compute_info: Any,
        dst_compute_info: Any,
        block_migration: bool | None = False,
        disk_over_commit: bool | None = False,
    ) -> Any:
        if block_migration:
            raise exception.MigrationPreCheckError(reason="this driver copies no disks: block migration is not offered")
        data = super().check_can_live_migrate_destination(context, instance, src_compute_info, dst_compute_info, False, False)
        handle, path = tempfile.mkstemp(prefix="shared-with-", dir=CONF.instances_path)
        os.close(handle)
        data.filename = Path(path).name
        return data

    def check_can_live_migrate_source(self, context: Any, instance: Any, dest_check_data: Any, block_device_info: Any = None) -> Any:
        if not Path(CONF.instances_path, dest_check_data.filename).exists():
            raise exception.InvalidSharedStorage(reason=f"{CONF.host} does not see the target's storage", path=CONF.instances_path)
        return dest_check_data

    def cleanup_live_migration_destination_check(self, context: Any, dest_check_data: Any) -> None:
        Path(CONF.instances_path, dest_check_data.filename).unlink(missing_ok=True)

    def live_migration(
        self,
        context: Any,
        instance: Any,
        dest: str,
        post_method: Any,
        recover_method: Any,
        block_migration: bool = False,
        migrate_data: Any = None,
    ) -> None:
        # The destination starts it; two at once, however short, would be a split brain of our own making.
        self.destroy(context, instance, None, destroy_disks=False)
        post_method(context, instance, dest, block_migration, migrate_data)

    def post_live_migration_at_destination(self, context: Any, instance: Any, *_more: Any, **_named: Any) -> None:
        self._define(instance)
        self._start_guest(instance)
        if instance.vm_state == vm_states.PAUSED:
            self.pause(instance)

    # Cold migration: the guest is stopped here, started there, and forgotten here when its owner confirms.

    def migrate_disk_and_power_off(self, context: Any, instance: Any, dest: str, *_more: Any, **_named: Any) -> str:
        if not self._shares_with(dest):
            why = exception.ResizeError(reason=f"{dest} does not see the storage of {CONF.host}, and this driver copies no disks")
            raise exception.InstanceFaultRollback(why)
        self._stop_guest(instance)
        return ""

    def _shares_with(self, address: str) -> bool:
        """What libvirt finds out by ssh: does the host with this address see our disks? The last byte is its number (layout.py)."""
        other = Path(CONF.state_path).parents[1] / f"cn{address.rpartition('.')[2]}" / "state" / "instances"
        return other.resolve() == Path(CONF.instances_path).resolve()

    def finish_migration(
        self,
        context: Any,
        migration: Any,
        instance: Any,
        disk_info: str,
        network_info: Any,
        image_meta: Any,
        resize_instance: bool,
        allocations: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        self._define(instance)
        if power_on:
            self._start_guest(instance)

    def finish_revert_migration(
        self, context: Any, instance: Any, network_info: Any, migration: Any, block_device_info: Any = None, power_on: bool = True, **_: Any
    ) -> None:
        self._define(instance)
        if power_on:
            self._start_guest(instance)

    def confirm_migration(self, context: Any, migration: Any, instance: Any, network_info: Any) -> None:
        # The disk is the one that it runs on now.
        if migration.source_compute != migration.dest_compute:
            self.destroy(context, instance, network_info, destroy_disks=False)

    # The fake driver answers from its own list of instances; the rest of it must not see an empty one.

    @property
    def instances(self) -> dict[str, Any]:
        return dict(self.definitions.known) if hasattr(self, "definitions") else {}

    @instances.setter
    def instances(self, _value: Any) -> None:
        """The base class starts with an empty list; ours is read from the disk in init_host."""
