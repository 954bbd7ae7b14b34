"""Who wrote on which disk, when, and was anything lost?

The judge: it knows nothing of Nova, of hanode or of what a test meant to do. It reads the disk files of
all storage domains, and the hosts' own disks beneath the mount points, and proves from them alone:
split brain, when two guests wrote over each other's time, and data loss, when a disk was born twice or
its history has a hole. `python3 -m tests.lab.stack.disks` prints its findings.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .layout import Lab

# A guest writes twice a second; a busy machine may keep it waiting.
WRITING_WITHIN_S = 3.0


@dataclass(frozen=True)
class Birth:
    """The line with which a new disk begins."""

    instance: str
    disk: str
    host: str
    at: float
    nonce: str


@dataclass(frozen=True)
class Life:
    """What one guest process wrote: from when to when, on CLOCK_MONOTONIC."""

    host: str
    pid: int
    first: float
    last: float

    def overlaps(self, other: Life) -> bool:
        return self.first < other.last and other.first < self.last


@dataclass(frozen=True)
class Disk:
    """One file, read to the end."""

    path: Path
    births: tuple[Birth, ...]
    lives: tuple[Life, ...]
    gaps: tuple[str, ...]
    size: int
    digest: str

    @property
    def instance(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def last_writer(self) -> Life | None:
        return max(self.lives, key=lambda life: life.last, default=None)

    def written_now(self, now: float | None = None) -> list[Life]:
        """The guests that are writing on it now: none, one, or a split brain."""
        now = time.monotonic() if now is None else now
        return [life for life in self.lives if now - life.last < WRITING_WITHIN_S]


@dataclass(frozen=True)
class Finding:
    """One proven harm. Kinds: split-brain, born-twice, hole, rewritten, vanished."""

    kind: str
    instance: str
    disk: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.instance}/{self.disk}: {self.text}"


def read(path: Path) -> Disk:
    data = path.read_bytes()
    births: list[Birth] = []
    lives: dict[tuple[str, int], Life] = {}
    gaps: list[str] = []
    newest = 0
    # What follows the last newline is being written at this moment.
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].decode().splitlines(), 1):
        words = line.split()
        if words[:2] == ["#", "birth"]:
            births.append(Birth(words[2], words[3], words[4], float(words[5]), words[6]))
            continue
        host, pid, at, sequence = words[0], int(words[1]), float(words[2]), int(words[3])
        if sequence > newest + 1:
            gaps.append(f"line {number}: {newest} is followed by {sequence}")
        newest = max(newest, sequence)
        known = lives.get((host, pid), Life(host, pid, at, at))
        lives[host, pid] = Life(host, pid, min(known.first, at), max(known.last, at))
    digest = hashlib.sha256(data).hexdigest()
    return Disk(path, tuple(births), tuple(lives.values()), tuple(gaps), len(data), digest)


def read_all(lab: Lab) -> list[Disk]:
    """Every disk of every instance, wherever a host may have put it."""
    places = [lab.domain_directory(domain) for domain in lab.domains]
    places += [host.local_instances for host in lab.hosts]
    found = []
    for place in places:
        for path in sorted(place.glob("*/disk*")):
            try:
                found.append(read(path))
            except FileNotFoundError:
                continue  # Deleted with its server while we looked.
    return found


def by_instance(disks: Iterable[Disk]) -> Mapping[tuple[str, str], list[Disk]]:
    """All copies of the same disk: of an unharmed one there is one."""
    copies: dict[tuple[str, str], list[Disk]] = defaultdict(list)
    for disk in disks:
        copies[disk.instance, disk.name].append(disk)
    return copies


def split_brains(copies: Iterable[Disk]) -> list[str]:
    """Two guests of one instance at the same time, on one copy of its disk or on two."""
    lives = [life for disk in copies for life in disk.lives]
    return [
        f"{a.host}/{a.pid} wrote {a.first:.1f}..{a.last:.1f} and {b.host}/{b.pid} wrote {b.first:.1f}..{b.last:.1f}"
        for a, b in itertools.combinations(lives, 2)
        if (a.host, a.pid) != (b.host, b.pid) and a.overlaps(b)
    ]


def changed_past(before: Disk) -> str | None:
    """What was on the disk must still be its beginning: history is only ever added to."""
    try:
        with before.path.open("rb") as file:
            past = file.read(before.size)
    except FileNotFoundError:
        return "vanished"
    same = hashlib.sha256(past).hexdigest() == before.digest
    return None if same else "rewritten"


def judge(lab: Lab, before: Iterable[Disk] = ()) -> list[Finding]:
    """Every proven harm. With what read_all gave earlier, also what vanished or was rewritten since."""
    findings = []
    for (instance, name), copies in sorted(by_instance(read_all(lab)).items()):
        for text in split_brains(copies):
            findings.append(Finding("split-brain", instance, name, text))
        births = [f"on {b.host} at {b.at:.1f} ({disk.path})" for disk in copies for b in disk.births]
        if len(births) > 1:
            findings.append(Finding("born-twice", instance, name, "; ".join(births)))
        for disk in copies:
            gaps = disk.gaps if disk.births else ("it has no birth certificate", *disk.gaps)
            findings += [Finding("hole", instance, name, f"{disk.path}: {gap}") for gap in gaps]
    for disk in before:
        if harm := changed_past(disk):
            findings.append(Finding(harm, disk.instance, disk.name, str(disk.path)))
    return findings


def running(lab: Lab) -> dict[str, set[str]]:
    """Which hosts write now, by instance."""
    hosts: dict[str, set[str]] = defaultdict(set)
    for disk in read_all(lab):
        hosts[disk.instance] |= {life.host for life in disk.written_now()}
    return dict(hosts)


def main() -> int:
    lab = Lab.from_environment()
    findings = judge(lab)
    for finding in findings:
        print(finding)
    now = running(lab)
    for instance, hosts in sorted(now.items()):
        print(f"{instance} {', '.join(sorted(hosts)) or 'not written'}")
    print(f"{len(now)} instances, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
