"""What does Nova do with an evacuation, step by step, and what does it leave behind when a step fails?

nova-api writes the record, nova-conductor chooses and casts, the target rebuilds. Nothing here cleans up after a process
that died: Nova does not either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanode.core.model import Call
from hanode.sim.world.control import Part
from hanode.sim.world.hosts import ComputeHost
from hanode.sim.world.load import SLICES
from hanode.sim.world.migrations import MigrationRow
from hanode.sim.world.servers import ActionEvent, Server, ServerAction
from hanode.sim.world.work import Pause

if TYPE_CHECKING:
    from hanode.sim.world.world import World


@dataclass(frozen=True)
class Job:
    """A rebuild message as its target receives it."""

    server: Server
    row: MigrationRow
    action: ServerAction
    target: str
    call: Call


VIF_TIMEOUT_S = 300.0
"""nova.conf vif_plugging_timeout."""


class RebuildFailed(Exception):
    """The target gives up. What is left of the server depends on where it happened."""

    keeps_state = False  # vm_state stays as it was
    reverts_task = True


class ClaimFailed(RebuildFailed):
    keeps_state = True


class UnexpectedTaskState(RebuildFailed):
    """Somebody else changed the server meanwhile: this one lost the race, late."""

    reverts_task = False


class Evacuation:
    def __init__(self, world: World) -> None:
        self._world = world
        self._busy: dict[str, set[str]] = {}  # host -> instances that it rebuilds now
        self._queue: dict[str, list[Job]] = {}
        self.claims_fail_on: set[str] = set()  # hosts whose resource tracker finds no room, whatever Placement said

    # ---------------------------------------------------------------- nova-conductor

    def cast(self, server: Server, target: str, call: Call, action: ServerAction) -> None:
        """Raises Hang while RabbitMQ is frozen; the message is handled all the same, later."""
        self._world.control.cast_conductor(lambda: self._conduct(server, target, call, action), f"evacuate {server.name}")

    def _conduct(self, server: Server, target: str, call: Call, action: ServerAction) -> None:
        row = self._world.migrations.oldest_accepted(server.instance_id)
        control = self._world.control
        scheduled = call is not Call.ON_SHARED_STORAGE or not target
        if row is None:
            self._event(action, "rebuild_server", "no accepted record", "")
        elif server.deleted:
            self._world.migrations.set_status(row, "failed", "InstanceNotFound")
        elif scheduled and not (control.is_up(Part.SCHEDULER) and control.is_up(Part.PLACEMENT)):
            # Uncaught in nova-conductor: the server is left rebuilding and the record accepted, for ever.
            self._world.after(self._world.timings.rpc_timeout_s,
                              lambda: self._event(action, "rebuild_server", "MessagingTimeout", ""), "conductor gives up")
        elif scheduled:
            self._schedule(Job(server, row, action, target, call))
        else:
            self._force(Job(server, row, action, target, call))

    def _schedule(self, job: Job) -> None:
        chosen = self._world.scheduler.choose(job.server, ignored=job.row.source, asked=job.target)
        if chosen is None:
            job.server.vm_state, job.server.task_state = "error", None
            self._refuse(job, "NoValidHost")
            return
        self._send(Job(job.server, job.row, job.action, chosen, job.call))

    def _force(self, job: Job) -> None:
        """Scheduler bypassed: only Placement is asked; a failure leaves the server as it was."""
        if len(self._world.placement.of_instance(job.server.instance_id)) != 1:
            job.server.task_state = None
            self._refuse(job, "complex allocations on the source host so move cannot be forced")
        elif self._world.placement.fits(job.server.instance_id, job.target, job.server.resources):
            self._send(job)
        else:
            job.server.task_state = None
            self._refuse(job, "AllocationUpdateFailed")

    def _refuse(self, job: Job, why: str) -> None:
        self._world.migrations.set_status(job.row, "error", why)
        self._event(job.action, "rebuild_server", why, "")

    def _send(self, job: Job) -> None:
        self._world.placement.hold(job.server.instance_id, job.target, job.server.resources)
        job.row.target = job.target
        self._world.record("rebuild-cast", job.target, f"rebuild of {job.server.name} is sent to {job.target}",
                           instance=job.server.instance_id, migration=str(job.row.number))
        self._event(job.action, "rebuild_server", "", "")
        self._world.hosts.cast(job.target, lambda: self._consume(job))

    def _event(self, action: ServerAction, name: str, error: str, host: str) -> None:
        action.events.append(ActionEvent(name, "Error" if error else "Success", host, self._world.now_s, error))
        if error:
            self._world.record("action-error", action.request_id, f"{name}: {error}", name=name)

    # ---------------------------------------------------------------- the target

    def forget_work_of(self, host: str) -> None:
        """Its process died."""
        self._busy.pop(host, None)
        self._queue.pop(host, None)
        self._world.load.forget(host)

    def _consume(self, job: Job) -> None:
        self._queue.setdefault(job.target, []).append(job)
        self._begin_next(job.target)

    def _begin_next(self, target: str) -> None:
        """So many at a time, and one at a time of the same instance."""
        busy, queue = self._busy.setdefault(target, set()), self._queue.get(target, [])
        job = next((job for job in queue if job.server.instance_id not in busy), None)
        if job is not None and len(busy) < self._world.timings.rebuild_slots:
            queue.remove(job)
            busy.add(job.server.instance_id)
            self._world.load.begin(target)
            self._world.hosts.run(target, self._work(job), f"rebuild {job.server.name} on {target}")

    def _work(self, job: Job) -> Iterator[Pause]:
        try:
            yield from self._rebuild(job)
            self._event(job.action, "compute_rebuild_instance", "", job.target)
        except RebuildFailed as failure:
            self._fail(job, failure)
        self._busy[job.target].discard(job.server.instance_id)
        self._world.load.end(job.target)
        self._begin_next(job.target)

    def _rebuild(self, job: Job) -> Iterator[Pause]:
        server, timings, hosts = job.server, self._world.timings, self._world.hosts
        yield Pause(timings.claim_s)
        was = server.vm_state
        self._claim(job)
        self._check_storage(job)
        self._swap(server, "rebuilding", "rebuilding")
        yield Pause(timings.attach_s)
        self._swap(server, "rebuilding", "rebuild_block_device_mapping")
        yield Pause(timings.attach_s)
        self._swap(server, "rebuild_block_device_mapping", "rebuild_spawning")
        domains = hosts.domains_of(job.target, server)
        yield from self._spawn(job.target, domains)
        failure = self._world.storage.failure(job.target, server)
        if failure:
            raise RebuildFailed(failure)
        hosts.start_guest(job.target, server)
        yield Pause()
        self._swap(server, "rebuild_spawning", None)  # losing here leaves the guest running
        server.vm_state, server.power_state = "active", "running"
        if was == "stopped" or (job.call is Call.STOPPED and was != "error"):
            server.task_state = "powering-off"
            yield Pause(timings.stop_s)
            hosts.stop_guest(job.target, server.instance_id, "was stopped before")
            server.vm_state, server.power_state, server.task_state = "stopped", "shutdown", None
        yield Pause(timings.finish_s)
        server.host = job.target
        self._world.migrations.set_status(job.row, "done", f"{server.name} is on {job.target}")

    def _spawn(self, target: str, domains: tuple[str, ...]) -> Iterator[Pause]:
        """The guest comes up without a word to the database; slower, the more come up beside it."""
        timings, load = self._world.timings, self._world.load
        slices = SLICES if timings.target_knee or timings.storage_knee else 1
        if not self._world.hosts[target].wires_ports:
            yield Pause(VIF_TIMEOUT_S, talks=False)
            raise RebuildFailed("VirtualInterfaceCreateException")
        left_s = timings.rebuild_limit_s or float("inf")
        for _ in range(slices):
            step_s = min(left_s, timings.spawn_s / slices * load.of_rebuild(target))
            yield Pause(step_s, talks=False, needs=domains)
            left_s -= step_s
            if left_s <= 0:
                raise RebuildFailed("VirtualInterfaceCreateException")

    def _claim(self, job: Job) -> None:
        if job.server.deleted:
            raise RebuildFailed("InstanceNotFound")
        if job.target in self.claims_fail_on or not self._world.scheduler.has_devices(self._world.hosts[job.target], job.server):
            raise ClaimFailed("ComputeResourcesUnavailable")
        job.row.target = job.target
        if self._world.scheduler.late_violation(job.target, job.server):
            raise RebuildFailed("GroupAffinityViolation")
        self._world.migrations.set_status(job.row, "pre-migrating", f"claimed by {job.target}")

    def _check_storage(self, job: Job) -> None:
        """Before anything of the server is touched."""
        if job.server.instance_id in self._world.hosts[job.target].guests:
            raise RebuildFailed("InstanceExists")
        if job.call is Call.ON_SHARED_STORAGE and not self.instance_on_disk(self._world.hosts[job.target], job.server):
            raise RebuildFailed("InvalidSharedStorage")

    def instance_on_disk(self, host: ComputeHost, server: Server) -> bool:
        """What nova-compute believes: always yes on rbd, else whether the instance's directory is visible."""
        if host.domain.kind == "rbd":
            return True
        return server.has_local_disk and self._world.disks.exists(host.disk_domain, server.instance_id)

    def _swap(self, server: Server, expected: str, to: str | None) -> None:
        if server.deleted:
            raise RebuildFailed("InstanceNotFound")
        if server.task_state != expected:
            raise UnexpectedTaskState(f"UnexpectedTaskState: {server.task_state} instead of {expected}")
        server.task_state = to

    def _fail(self, job: Job, failure: RebuildFailed) -> None:
        server = job.server
        self._world.migrations.set_status(job.row, "failed", str(failure))
        self._world.placement.release(server.instance_id, job.target)
        self._event(job.action, "compute_rebuild_instance", str(failure), job.target)
        if server.deleted:
            return
        if not failure.keeps_state:
            server.vm_state, server.fault = "error", str(failure)
        if failure.reverts_task:
            server.task_state = None
        elif server.task_state is None:
            server.task_state = "rebuilding"  # its stale copy of the row is saved over the winner's
