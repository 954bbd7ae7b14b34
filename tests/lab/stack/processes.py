"""How is a process started so that it outlives us, and stopped so that nothing of it is left?

Each service leads a session of its own and is recorded with its pid and the kernel's start time, so
that a recycled pid is never taken for it. Whatever escapes its session still carries the lab's mark
in its environment and is found by that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .layout import MARK, Lab


class StartFailed(RuntimeError):
    """A service did not become ready; the message ends with the end of its log."""


@dataclass(frozen=True)
class Seen:
    """A row of /proc, zombies excluded: a dead process that nobody reaped yet does nothing."""

    pid: int
    group: int
    session: int
    start: int


def look(pid: int) -> Seen | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name may hold blanks and brackets: everything of use follows the last bracket.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Seen(pid, int(fields[2]), int(fields[3]), int(fields[19]))


def everything() -> Iterator[Seen]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (seen := look(int(entry.name))):
            yield seen


def environment(pid: int) -> Mapping[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    pairs = (item.partition(b"=") for item in raw.split(b"\0") if b"=" in item)
    return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}


def marked(lab: Lab) -> list[Seen]:
    return [p for p in everything() if environment(p.pid).get(MARK) == str(lab.directory)]


def wait_for(ready: Callable[[], bool], timeout_s: float, interval_s: float = 0.2) -> bool:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True


def kill_all(pids: Iterable[int], how: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def own_environment(lab: Lab, extra: Mapping[str, str]) -> dict[str, str]:
    """A small, known environment: what the caller exports must not configure an OpenStack service."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    own = {
        "HOME": str(lab.path("home")),
        "PYTHONUNBUFFERED": "1",
        MARK: str(lab.directory),
        # Services that rename themselves would overwrite their environment, and the mark with it.
        "SPT_NOENV": "1",
    }
    return {**kept, **own, **extra}


class Processes:
    """The services that were started, by name, in files below the lab's `run` directory."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.directory = lab.path("run")

    def names(self) -> list[str]:
        """In the order they were started."""
        files = sorted(self.directory.glob("*.json"), key=lambda f: f.stat().st_mtime_ns)
        return [f.stem for f in files]

    def alive(self, name: str) -> Seen | None:
        try:
            record = json.loads((self.directory / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        seen = look(record["pid"])
        return seen if seen and seen.start == record["start"] else None

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> int:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lab.path("log").mkdir(parents=True, exist_ok=True)
        with self.lab.log(name).open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=own_environment(self.lab, env),
                cwd=cwd,
                start_new_session=True,
            )
        seen = look(process.pid)
        record = {"pid": process.pid, "start": seen.start if seen else 0, "argv": list(argv)}
        (self.directory / f"{name}.json").write_text(json.dumps(record))
        return process.pid

    def wait_ready(self, name: str, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait for the service to answer; a service that died is not waited for."""
        if wait_for(lambda: ready() or not self.alive(name), timeout_s) and self.alive(name):
            return
        state = "does not answer" if self.alive(name) else "died"
        tail = "\n".join(self.lab.log(name).read_text(errors="replace").splitlines()[-15:])
        raise StartFailed(f"{name} {state}; the end of {self.lab.log(name)}:\n{tail}")

    def stop(self, name: str, timeout_s: float = 10, how: signal.Signals = signal.SIGTERM) -> None:
        """End the service and its whole session; forget it."""
        seen = self.alive(name)
        if seen:
            members = self.session(seen.pid)
            # A stopped process would not see the request to end.
            kill_all(members, signal.SIGCONT)
            kill_all([seen.pid], how)
            wait_for(lambda: not self.session(seen.pid), timeout_s, 0.05)
            kill_all(self.session(seen.pid), signal.SIGKILL)
            wait_for(lambda: not self.session(seen.pid), 5, 0.02)
        (self.directory / f"{name}.json").unlink(missing_ok=True)

    def session(self, session: int) -> list[int]:
        return [p.pid for p in everything() if p.session == session]

    def signal(self, name: str, how: signal.Signals) -> None:
        """To every process of the service: a frozen service has no thread left that answers."""
        seen = self.alive(name)
        if not seen:
            raise ProcessLookupError(f"{name} is not running")
        kill_all(self.session(seen.pid), how)
