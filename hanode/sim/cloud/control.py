"""What can a demo or a test do to the embedded cloud, and what does it see of the truth? Verbs in, facts out.

POST /control {"do": VERB, ...} injects; GET /control/state and /control/log tell what really happened, for a judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hanode.sim.cloud.http import HttpError, Request, Response, Route
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.world import Answer, ApiError, ApiFault, BmcMode, Effect, Part, World

Given = Mapping[str, Any]
Verb = Callable[[World, Given], None]


def _bmc(world: World, given: Given) -> None:
    world.bmcs[given["host"]].misbehave(BmcMode[given["mode"]], float(given.get("seconds", 0)), given.get("acts_on", ""))


def _fault(world: World, given: Given) -> None:
    world.control.inject(ApiFault(given["call"], Answer[given["answer"]], Effect[given.get("effect", "NONE")],
                                  int(given.get("times", 1)), float(given.get("delay_s", 0))))


def _id(world: World, given: Given) -> str:
    return world.servers.named(given["server"]).instance_id


VERBS: Mapping[str, Verb] = {
    # of a host
    "power_cut": lambda w, g: w.hosts.power_off(g["host"], "power cut"),
    "power_on": lambda w, g: w.hosts.power_on(g["host"], "switched on by hand"),
    "mains_cut": lambda w, g: w.hosts.cut_mains(g["host"]),
    "mains_restore": lambda w, g: w.hosts.restore_mains(g["host"], bool(g.get("powers_on"))),
    "compute_kill": lambda w, g: w.hosts.kill_compute(g["host"]),
    "compute_start": lambda w, g: w.hosts.start_compute(g["host"]),
    "compute_freeze": lambda w, g: w.hosts.freeze_compute(g["host"]),
    "compute_thaw": lambda w, g: w.hosts.thaw_compute(g["host"]),
    "kernel_freeze": lambda w, g: w.hosts.freeze_kernel(g["host"]),
    "kernel_thaw": lambda w, g: w.hosts.thaw_kernel(g["host"]),
    "panic": lambda w, g: w.hosts.panic(g["host"]),
    "reboot": lambda w, g: w.hosts.reboot(g["host"]),
    "network_cut": lambda w, g: w.hosts.cut_network(g["host"], bool(g.get("probe_too", True))),
    "network_restore": lambda w, g: w.hosts.restore_network(g["host"]),
    "unmount": lambda w, g: w.hosts.unmount(g["host"]),
    "mount": lambda w, g: w.hosts.mount(g["host"]),
    # of a power device: mode is a name of BmcMode
    "bmc": _bmc,
    # of the control plane: part is a name of Part; a fault hits the next requests of one call of Nova
    "fail": lambda w, g: w.control.fail(Part[g["part"]]),
    "restore": lambda w, g: w.control.restore(Part[g["part"]]),
    "fault": _fault,
    # of a server's owner
    "server_stop": lambda w, g: w.nova.stop(_id(w, g), user="owner"),
    "server_start": lambda w, g: w.nova.start(_id(w, g), user="owner"),
    "server_delete": lambda w, g: w.nova.delete(_id(w, g), user="owner"),
}


class Control:
    def __init__(self, live: LiveWorld, keystone: Keystone) -> None:
        self._live = live
        self._keystone = keystone
        self.routes = (
            Route("GET", "/control", self._verbs),
            Route("POST", "/control", self._do),
            Route("GET", "/control/state", self._state),
            Route("GET", "/control/log", self._log),
        )

    def _verbs(self, _: Request) -> Response:
        return Response(200, {"do": [*sorted(VERBS), "expire_tokens"]})

    def _do(self, request: Request) -> Response:
        given = request.body if isinstance(request.body, dict) else {}
        verb = str(given.get("do"))
        if verb == "expire_tokens":
            self._keystone.expire_tokens()
            return Response(200, {"did": verb})
        if verb not in VERBS:
            raise HttpError(Response(400, {"error": f"unknown verb {verb!r}; GET /control lists them"}))
        try:
            self._live.run(lambda world: VERBS[verb](world, given))
        except (KeyError, ValueError, StopIteration) as error:
            raise HttpError(Response(400, {"error": f"{verb} lacks, or does not know, {error}"})) from error
        except ApiError as error:
            raise HttpError(Response(error.status, {"error": error.text})) from error
        return Response(200, {"did": verb})

    def _state(self, _: Request) -> Response:
        return Response(200, self._live.run(state))

    def _log(self, request: Request) -> Response:
        """Events from number `since` on; the answer tells the number to ask for next."""
        since = int(request.query.get("since", 0))

        def read(world: World) -> dict[str, Any]:
            events = [{"time_s": e.time_s, "kind": e.kind, "subject": e.subject, "text": e.text, "facts": dict(e.facts)}
                      for e in world.log[since:]]
            return {"next": since + len(events), "events": events}

        return Response(200, self._live.run(read))


def state(world: World) -> dict[str, Any]:
    """Everything a judge needs: who runs where, who wrote which disk, what was lost."""
    return {
        "now_s": world.now_s,
        "hosts": {h.name: {
            "powered": h.powered, "kernel": h.kernel.value, "agent": h.agent.value, "network": h.network, "mounted": h.mounted,
            "up": world.hosts.is_up(h.name), "status": h.status, "disabled_reason": h.disabled_reason,
            "forced_down": h.forced_down, "domain": h.domain.name,
            "running": sorted(guest.instance_id for guest in h.guests.values() if guest.running),
        } for h in world.hosts.all()},
        "servers": {s.instance_id: {
            "name": s.name, "host": s.host, "vm_state": s.vm_state, "task_state": s.task_state, "power_state": s.power_state,
            "locked": s.locked, "running_on": list(world.hosts.running(s.instance_id)),
        } for s in world.servers.live()},
        "disks": {d.disk_id: {
            "births": len(d.births), "destroyed": d.destroyed,
            "written_by": sorted({w.host for w in d.writers if w.to_s is None}),
        } for d in world.disks.all()},
        "migrations": [{
            "number": r.number, "instance": r.instance_id, "kind": r.kind, "status": r.status, "source": r.source,
            "target": r.target,
        } for r in world.migrations.rows],
        "evacuations_accepted": _lines(world, "evacuate-accepted"),
        "disk_conflicts": _lines(world, "disk-conflict"),
        "data_losses": _lines(world, "data-loss"),
    }


def _lines(world: World, kind: str) -> list[str]:
    return [event.line() for event in world.log if event.kind == kind]
