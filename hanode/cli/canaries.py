"""The canaries of one drill, as an operator's command sees to them: are they there, are they well, and are they gone in the end?"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from hanode.adapters.canaries import Canaries, Canary, Kind
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.adapters.programs import check_canary
from hanode.conf import build
from hanode.core.facts import Instance
from hanode.core.lifecycle import InstanceState
from hanode.core.model import Call
from hanode.core.records import Drill, InstanceRecovery
from hanode.daemon import open_cloud
from hanode.errors import Ambiguous, ConfigError, HanodeError, Refused, Unreachable

EVERY_S = 1.0
Seen = TypeVar("Seen")


class Flock:
    """Nothing is asked of the cloud before it is needed."""

    def __init__(self, settings: build.Settings, host: str, say: Callable[[str], None]) -> None:
        self._settings, self._host, self._say = settings, host, say
        self._tag = f"hanode-canary-{host}"  # one drill of a host at a time

    def _get(self, option: str) -> str:
        return str(self._settings.get("drill", option) or "")

    @cached_property
    def _timeout_s(self) -> float:
        return float(self._settings.get("drill", "timeout_s"))

    @cached_property
    def _cloud(self) -> OpenStackCloud:
        return open_cloud(self._settings)

    @cached_property
    def _canaries(self) -> Canaries:
        if bool(self._get("cloud")) != bool(self._get("clouds_file")):
            raise ConfigError(f"{self._settings.where('drill', 'cloud')}: give both cloud and clouds_file, or neither")
        own = {"cloud": self._get("cloud"), "clouds_file": self._get("clouds_file")}
        return Canaries(Credentials(**(own if own["cloud"] else build.keystone(self._settings))), self._tag)

    @cached_property
    def _kind(self) -> Kind:
        if not (self._get("flavor") and self._get("image")):
            raise Refused(f"there is no canary on {self._host}: set {self._settings.where('drill', 'flavor')} and image, and some are "
                          f"made, or give an instance on it the metadata {self._get('canary_key')}")
        return Kind(self._get("flavor"), self._get("image"), self._get("network"))

    @cached_property
    def _volunteers(self) -> tuple[Instance, ...]:
        return tuple(server for server in self._cloud.read_servers(self._host) if self._get("canary_key") in server.metadata)

    @property
    def makes(self) -> bool:
        return not self._volunteers

    # ------------------------------------------------------------------ before

    def refuse_others(self) -> None:
        """The leader looks again, later and more closely; here it only spares everybody the making of canaries."""
        left = self._canaries.find() if self.makes else ()
        if left:
            raise Refused(f"{', '.join(f'{c.name} ({c.instance_id})' for c in left)} is left of an earlier drill that was never begun: "
                          f"delete it with `openstack server delete`, then try again")
        known = {server.instance_id for server in self._volunteers}
        others = [server.name for server in self._cloud.read_servers(self._host) if server.instance_id not in known]
        if others:
            raise Refused(f"{self._host} is not empty: {', '.join(sorted(others)[:5])}. `hanode host maintenance {self._host}` drains it")

    def described(self) -> str:
        if self._volunteers:
            return f"{len(self._volunteers)} canaries of yours ({', '.join(server.name for server in self._volunteers)})"
        assert self._kind
        return f"{self._settings.get('drill', 'count')} new canaries"

    def gather(self) -> Mapping[str, str]:
        """id -> name of every canary, all of them running on the host."""
        if self._volunteers:
            return {server.instance_id: server.name for server in self._volunteers}
        count = int(self._settings.get("drill", "count"))
        for number in range(1, count + 1):
            self._canaries.make(self._host, number, self._kind)
        self._say(f"{count} canaries are made on {self._host}")

        def up(found: Sequence[Canary]) -> bool:
            broken = next((canary for canary in found if canary.status == "ERROR"), None)
            if broken is not None:
                raise Refused(f"Nova cannot make {broken.name}: {broken.fault or 'it is in ERROR'}")
            return len(found) == count and all(canary.status == "ACTIVE" and canary.host == self._host for canary in found)

        return {canary.instance_id: canary.name for canary in self._until("canaries up", self._canaries.find, up)}

    def check(self, when: str, canaries: Mapping[str, str]) -> None:
        words = shlex.split(self._get("check_command"))
        for instance_id, name in canaries.items() if words else ():
            check_canary(words, when, instance_id, name, self._timeout_s)

    # ------------------------------------------------------------------ after

    def judge(self, drill: Drill, entries: Mapping[str, InstanceRecovery]) -> Mapping[str, str]:
        """name -> what is wrong with it, as its recovery, Nova and the operator's own program say; "" when nothing is."""
        found = {}
        for instance_id in drill.canaries:
            entry = entries.get(instance_id)
            name = entry.name if entry else instance_id
            found[name] = self._trouble(instance_id, name, entry)
            if not found[name] and entry and entry.call is not Call.ON_SHARED_STORAGE and not self._get("check_command"):
                self._say(f"{name}: nobody has looked whether its disk was kept; set {self._settings.where('drill', 'check_command')}")
        return found

    def _trouble(self, instance_id: str, name: str, entry: InstanceRecovery | None) -> str:
        if entry is None:
            return "nothing was done to it"
        if entry.state is not InstanceState.VERIFIED:
            return f"{entry.state}: {entry.reason}"
        try:
            now = self._cloud.read_instance(instance_id)
            if now is None or now.host == self._host or now.vm_state != "active" or now.power_state != "running":
                return f"Nova shows {f'{now.vm_state}/{now.power_state} on {now.host}' if now else 'nothing of it'}"
            self.check("after", {instance_id: name})
        except HanodeError as error:
            return str(error)
        return ""

    def clean(self, promised: Collection[str] | None = None) -> None:
        """Delete what was made, until Nova shows none of it any more; of what the journal knows, only what is `promised` there."""
        if not (self._get("flavor") and self._get("image")):
            return  # then none can have been made

        def gone() -> Sequence[Canary]:
            left = [canary for canary in self._canaries.find() if promised is None or canary.instance_id in promised]
            for canary in left:
                self._canaries.delete(canary)
            return left

        self._until("canaries deleted", gone, lambda left: not left)

    def _until(self, what: str, look: Callable[[], Seen], good: Callable[[Seen], bool]) -> Seen:
        """Look until it is good. Raises Refused when that takes too long; a look that fails is repeated until then."""
        give_up_s, pause, last = time.monotonic() + self._timeout_s, threading.Event(), ""
        while time.monotonic() < give_up_s:
            try:
                seen = look()
                if good(seen):
                    return seen
                last = str(seen)
            except (Unreachable, Ambiguous) as error:
                last = str(error)
            pause.wait(EVERY_S)
        raise Refused(f"{what}: not within {self._timeout_s:.0f} s ([drill] timeout_s); last seen: {last[:300]}")
