"""How fast is a recovery on the lab, beside bare loops that know at once and only post?

`python -m tests.lab.bench [--servers 20] [--hosts cn1] [--rounds 3] [--fixed 3,8,32]`: a power cut of these hosts, with so many
servers on each, in each round, once under hanode, once under hanode with each fixed limit in place of those that follow Nova, and
once under each loop; of several hosts the slowest counts, and all that comes after the first fence. All times are read from the
guests' disks (when each wrote again, elsewhere) and from the journal; medians, with the rounds beside them. Prints a table and
writes build/lab-bench.json; what the daemons logged stays in build/lab-bench. Machines are noisy: compare within one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

from openstack.connection import Connection

from .cluster import Cluster, until
from .conftest import mend
from .stack import client, disks, faults
from .stack.layout import REPOSITORY, Lab

BUILD = REPOSITORY / "build"
Round = dict[str, float]
STATES = ("SUSPECT", "FENCING", "FENCED", "EVACUATING")
MANY_MAY_FAIL = "[brake]\npercent = 60"
"""Half of the lab may fail at once here; a real cloud's brake holds then, as the one of the other tests does."""
ROOMY = 10.0
"""A hundred vCPUs on each host: sixty servers come from one host, and may all go to one."""
LIMIT_S = 900.0
MOST = 100
"""The highest ceiling of a target that hanode takes."""


def first_writes(lab: Lab, ids: Sequence[str], sources: Sequence[str], since_s: float) -> list[float]:
    """When each guest wrote its disk for the first time elsewhere, after the power cut; raises if one never did."""
    found: dict[str, float] = {}
    for disk in disks.read_all(lab):
        for life in disk.lives:
            if disk.instance in ids and life.host not in sources and life.first > since_s:
                found[disk.instance] = min(life.first, found.get(disk.instance, life.first))
    assert len(found) == len(ids), f"{len(ids) - len(found)} guests never wrote again"
    return sorted(found.values())


def wait_written(lab: Lab, ids: Sequence[str], sources: Sequence[str], since_s: float) -> list[float]:
    def look() -> list[float]:
        try:
            return first_writes(lab, ids, sources, since_s)
        except AssertionError:
            return []

    return until("all guests writing again", look, bool, LIMIT_S)


def assert_unharmed(lab: Lab) -> None:
    findings = disks.judge(lab)
    assert not findings, "\n".join(map(str, findings))


def failed(cloud: Connection, ids: Sequence[str]) -> int:
    """How many evacuations of these did not work, and had to be asked for again."""
    return sum(1 for one in client.evacuations(cloud) if one["instance_uuid"] in ids and one["status"] in {"error", "failed"})


def boot(cloud: Connection, servers: int, sources: Sequence[str]) -> list[str]:
    """So many on each of them."""
    return [server_id for source in sources for server_id in client.boot(cloud, servers, source)]


def under_hanode(lab: Lab, cloud: Connection, servers: int, sources: Sequence[str], options: dict[str, Any]) -> Round:
    ids = boot(cloud, servers, sources)
    BUILD.joinpath("lab-bench").mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(prefix=f"{'-'.join(sources)}-{servers}-fixed-{options.get('fixed')}-", dir=BUILD / "lab-bench")
    with Cluster(lab, Path(directory), **options) as cluster:
        seen: dict[tuple[str, str], float] = {}
        over, watcher = _watch(cluster, sources, seen)
        wall_s, began_s = time.time(), time.monotonic()
        for source in sources:
            faults.power_cut(lab, source)
        back = wait_written(lab, ids, sources, began_s)
        records = [cluster.wait_recovered(source, LIMIT_S) for source in sources]
        over.set()
        watcher.join()
    assert_unharmed(lab)
    detected = {source: seen.get((source, "FENCING"), seen[source, "FENCED"]) - began_s for source in sources}
    beats = {record.host: datetime.fromisoformat(record.last_beat_at + "+00:00").timestamp() - wall_s for record in records}
    fenced = [seen[source, "FENCED"] - began_s for source in sources]
    last = back[-1] - began_s
    return {
        "failed": failed(cloud, ids),
        "detect_after_last_beat": max(detected[source] - beats[source] for source in sources),
        "detect": max(detected.values()),
        "fence": max(fenced),
        "first": back[0] - began_s,
        "last": last,
        "rest": last - min(fenced),
    }


def _watch(cluster: Cluster, sources: Sequence[str], seen: dict[tuple[str, str], float]) -> tuple[Event, Thread]:
    """Note when the record of each source is first seen in each state."""
    over = Event()

    def watch() -> None:
        # Often enough for a tenth of a second, and only as long as there is something to see: looking costs what is measured.
        while not all((source, STATES[-1]) in seen for source in sources) and not over.wait(0.2):
            records, now_s = cluster.records(), time.monotonic()
            for source in sources:
                state = str(records[source].state) if source in records else ""
                for passed in STATES[: STATES.index(state) + 1] if state in STATES else ():
                    seen.setdefault((source, passed), now_s)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    return over, thread


def under_loop(lab: Lab, cloud: Connection, servers: int, sources: Sequence[str], at_once: int) -> Round:
    """Knows of the failure at once, marks the hosts down, posts to the other hosts of their domains in turn: the floor."""
    ids = boot(cloud, servers, sources)
    targets = {source: [h.name for h in lab.hosts if h.domain == lab.host(source).domain and h.name not in sources] for source in sources}
    began_s = time.monotonic()
    for source in sources:
        faults.power_cut(lab, source)
        client.set_service(cloud, source, forced_down=True)

    def one(numbered: tuple[int, str]) -> None:
        number, server_id = numbered
        there = targets[sources[number // servers]]
        target = there[number % len(there)]
        status, text = client.evacuate(cloud, server_id, target, client.SHARED_MICROVERSION, shared=True)
        assert status == 200, text
        if at_once < len(ids):
            client.until("moved", lambda: client.server(cloud, server_id), lambda s: s["OS-EXT-SRV-ATTR:host"] == target, 600)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, enumerate(ids)))
    back = wait_written(lab, ids, sources, began_s)
    assert_unharmed(lab)
    return {"failed": failed(cloud, ids), "first": back[0] - began_s, "last": back[-1] - began_s, "rest": back[-1] - began_s}


def rounds(lab: Lab, cloud: Connection, count: int, play: Callable[[], Round]) -> list[Round]:
    found = []
    for _ in range(count):
        mend(lab, cloud)
        for host in lab.hosts:
            client.set_cpu_ratio(cloud, host.name, ROOMY)
        found.append(play())
    mend(lab, cloud)
    return found


def median(found: Sequence[Round], what: str) -> float:
    return statistics.median(one[what] for one in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--hosts", default="cn1", help="which fail at once; each needs a living host in its domain")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loops", default="4,8,all")
    parser.add_argument("--fixed", default="", help="for example 3,8,32,all: hanode with so many at once in all, per domain and per target")
    parser.add_argument("--at-once", type=int, default=64, help="ceiling in all and per domain; as shipped per domain")
    parser.add_argument("--per-target", type=int, default=10, help="ceiling per target; as shipped")
    options = parser.parse_args()
    lab = Lab.from_environment()
    cloud = client.connect(lab)
    sources = options.hosts.split(",")
    everything = options.servers * len(sources)

    def hanode(**limits: Any) -> Round:
        return under_hanode(lab, cloud, options.servers, sources, {"protection": MANY_MAY_FAIL, **limits})

    plays = {"hanode": partial(hanode, at_once=options.at_once, per_target=options.per_target)}
    for word, number in numbers(options.fixed, min(everything, MOST)):
        plays[f"hanode, fixed {word}"] = partial(hanode, at_once=number, per_target=number, fixed=number)
    for word, number in numbers(options.loops, everything):
        plays[f"loop, {word} at once"] = partial(under_loop, lab, cloud, options.servers, sources, number)
    results: dict[str, list[Round]] = {}
    for name, play in plays.items():
        results[name] = rounds(lab, cloud, options.rounds, play)
        keep(results)  # after each: a later one that does not come to its end takes no earlier one with it
    sys.stdout.write(table(results) + "\n")
    return 0


def numbers(words: str, everything: int) -> list[tuple[str, int]]:
    """`8,all` with the number that each means."""
    return [(word, everything if word == "all" else int(word)) for word in words.split(",") if word]


def table(results: dict[str, list[Round]]) -> str:
    columns = ["detect_after_last_beat", "detect", "fence", "first", "last", "rest", "failed"]
    best = min((median(found, "rest") for name, found in results.items() if name.startswith("loop")), default=float("nan"))
    head = f"{'median of ' + str(len(results['hanode'])) + ', seconds':28}"
    lines = [head + "".join(f"{c[:12]:>14}" for c in (*columns, "x best loop"))]
    for name, found in results.items():
        cells = [f"{median(found, c):14.1f}" if c in found[0] else f"{'-':>14}" for c in columns]
        lines.append(f"{name:28}" + "".join(cells) + f"{median(found, 'rest') / best:14.2f}")
    return "\n".join(lines)


def keep(results: dict[str, list[Round]]) -> None:
    BUILD.mkdir(exist_ok=True)
    BUILD.joinpath("lab-bench.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
