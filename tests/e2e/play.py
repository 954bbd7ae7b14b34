"""What can an end-to-end test do and see? A stage, the truth of its cloud, the journal, the logs and the command line.

Who is right is judged from the cloud alone; the journal and the logs only say when to look.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hanode.cli.base import Desk, open_desk
from hanode.core.records import HostRecovery
from hanode.engine.ledger import Standing
from hanode.errors import HanodeError
from hanode.sim.demo import is_back
from hanode.sim.etcd import wait_until
from hanode.sim.stage import Stage, scrubbed

T = TypeVar("T")
Servers = Mapping[str, Mapping[str, Any]]

LIMIT_S = 120.0
EVERY_S = 0.05
TAIL_LINES = 60
SETTLED = frozenset({"EVACUATING", "RELEASING"})


class Play:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.operator = "d1"
        """Whose configuration file the commands are typed with."""
        self._desk: Desk | None = None

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        wait_until(condition, limit_s, what, EVERY_S)

    # ------------------------------------------------------------------ the journal

    def standing(self) -> Standing:
        """Who holds office; nobody while the journal cannot be read."""
        return self._read(lambda desk: desk.ledger.read_standing()) or Standing()

    def status(self) -> Mapping[str, Any]:
        """What the leader published last."""
        return self._read(lambda desk: desk.ledger.read_status()) or {}

    def _read(self, read: Callable[[Desk], T]) -> T | None:
        try:
            self._desk = self._desk or open_desk([str(self.stage.conf_file(self.operator))])
            return read(self._desk)
        except HanodeError:
            return None

    @property
    def term(self) -> int:
        epoch = self.standing().epoch
        return epoch.term if epoch else 0

    @property
    def leader(self) -> str:
        epoch = self.standing().epoch
        assert epoch is not None and not epoch.resigned, "somebody leads"
        return epoch.node

    def recovery(self, host: str) -> HostRecovery | None:
        """As the journal has it; None while it cannot be read, too."""
        return self._read(lambda desk: desk.ledger.load().records.hosts.get(host))

    def host(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.status().get("hosts", {}).get(name, {})
        return found

    def is_ready(self) -> bool:
        """The one in office has published that it holds nothing back, and every host is well or was recovered long ago."""
        epoch, status = self.standing().epoch, self.status()
        led = epoch is not None and not epoch.resigned and status.get("leader", {}).get("owner") == epoch.owner
        hosts = status.get("hosts", {}).values()
        sound = all(h["verdict"] == "HEALTHY" or h["state"] in SETTLED for h in hosts)
        return led and bool(hosts) and sound and not status["holds"]

    def until_ready(self) -> None:
        self.until(self.is_ready, "a leader that holds nothing back")

    # ------------------------------------------------------------------ the truth

    def servers_of(self, host: str) -> Servers:
        return {key: server for key, server in self.stage.state()["servers"].items() if server["host"] == host}

    def cut_power(self, host: str) -> Servers:
        """The host is dead from now on; its servers as they were."""
        return self._break(host, "power_cut")

    def hang(self, host: str) -> Servers:
        """As dead to everybody else, but its power is on: it has to be shot."""
        return self._break(host, "kernel_freeze")

    def _break(self, host: str, how: str) -> Servers:
        before = self.servers_of(host)
        assert before, f"nothing to recover on {host}"
        self.stage.control(how, host=host)
        return before

    def accepted(self, servers: Servers) -> int:
        """Evacuations of these that Nova accepted."""
        return sum(_is_evacuation_of(event, servers) for event in self.stage.events())

    def until_accepted(self, servers: Servers) -> None:
        self.until(lambda: self.accepted(servers) > 0, "the first accepted evacuation")

    def until_back(self, servers: Servers) -> None:
        """All of them run elsewhere, or are off there, as before."""
        self._until_all(servers, is_back, "being as before, elsewhere")

    def until_recovered(self, servers: Servers) -> None:
        """And their owners can do with them what they could."""
        self._until_all(servers, lambda was, now: is_back(was, now) and now["locked"] == was["locked"], "being recovered")

    def _until_all(self, servers: Servers, good: Callable[[Mapping[str, Any], Mapping[str, Any]], bool], what: str) -> None:
        def all_good() -> bool:
            now = self.stage.state()["servers"]
            return all(good(was, now[key]) for key, was in servers.items())

        self.until(all_good, f"all of {sorted(s['name'] for s in servers.values())} {what}")

    def judge(self, servers: Servers) -> None:
        """All are back elsewhere, by exactly one accepted evacuation each, and no disk had two writers."""
        events, state = self.stage.events(), self.stage.state()
        posted = Counter(event["subject"] for event in events if _is_evacuation_of(event, servers))
        assert {state["servers"][key]["name"]: posted[key] for key in servers} == {s["name"]: 1 for s in servers.values()}
        assert all(is_back(was, state["servers"][key]) for key, was in servers.items())
        assert not [s["name"] for s in state["servers"].values() if len(s["running_on"]) > 1]
        assert (state["disk_conflicts"], state["data_losses"]) == ([], [])

    def is_in_service(self, host: str) -> bool:
        found = self.stage.state()["hosts"][host]
        return bool(found["up"] and found["status"] == "enabled" and not found["forced_down"])

    def writes(self, since: int = 0) -> list[str]:
        """What hanode changed in the cloud, or told a power device, from that event on."""
        return [f"{e['time_s']:.1f} {e['kind']} {e['subject']}: {e['text']}" for e in self.stage.events(since) if _is_ours(e)]

    def offs(self, since: int = 0) -> list[str]:
        return [event["subject"] for event in self.stage.events(since) if event["kind"] == "off-command"]

    @property
    def now(self) -> int:
        """The number of the cloud's next event."""
        return len(self.stage.events())

    def until_passed(self, seconds: float) -> None:
        """By the cloud's own clock: long enough to have seen what does not happen."""
        until_s = self.stage.state()["now_s"] + seconds
        self.until(lambda: bool(self.stage.state()["now_s"] >= until_s), f"{seconds} s of the cloud")

    # ------------------------------------------------------------------ daemons

    def until_succeeded(self, term: int) -> None:
        self.until(lambda: self.term > term, f"a leader after term {term}")

    def send(self, name: str, number: signal.Signals) -> None:
        self.stage.daemons[name].signal(number)

    def restart(self, name: str) -> None:
        daemon = self.stage.daemons[name]
        daemon.close()
        daemon.start()

    def log(self, name: str, since: int = 0) -> str:
        """What a daemon said, from that character on."""
        file = self.stage.daemons[name].log
        return file.read_text(errors="replace")[since:] if file.exists() else ""

    def until_said(self, name: str, pattern: str, since: int = 0) -> None:
        self.until(lambda: re.search(pattern, self.log(name, since)) is not None, f"{name} saying {pattern!r}")

    def leads(self, name: str) -> bool:
        """By its own last word on it."""
        roles = re.findall(r"^\S+ \S+ INFO +(leader|standby|candidate)\b", self.log(name), re.MULTILINE)
        return bool(roles) and roles[-1] == "leader"

    def tails(self) -> list[tuple[str, str]]:
        """For a person who looks at a failed test."""
        logs = [(p.name, p.log) for p in (*self.stage.daemons.values(), self.stage.cloud)]
        return [(name, "\n".join(_lines(file)[-TAIL_LINES:])) for name, file in logs]

    # ------------------------------------------------------------------ the command line

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        conf = str(self.stage.conf_file(self.operator))
        return hanode(*words, "--config-file", conf)

    def until_told(self, answer: str, *words: str) -> None:
        """Type it again and again, as a person does who hears that nobody leads just now."""

        def told() -> bool:
            ended = self.cli(*words)
            return re.search(answer, ended.stdout + ended.stderr) is not None

        self.until(told, f"`hanode {' '.join(words)}` answering {answer!r}")

    def check(self) -> int:
        """The exit code that monitoring sees."""
        return self.cli("status", "--check").returncode

    def told(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.cli("status", "-f", "json").stdout)
        return found


def hanode(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hanode", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=scrubbed(), stdin=subprocess.DEVNULL, timeout=LIMIT_S)


def _is_evacuation_of(event: Mapping[str, Any], servers: Servers) -> bool:
    """From where it was: a server may have been evacuated before, from another host."""
    was = servers.get(event["subject"])
    return event["kind"] == "evacuate-accepted" and was is not None and event["facts"]["source"] == was["host"]


def _is_ours(event: Mapping[str, Any]) -> bool:
    return bool(event["kind"].endswith("-command") or event["facts"].get("user") == "hanode")


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []
