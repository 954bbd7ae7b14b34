"""How fast is a recovery on the lab, beside bare loops that know at once and only post?

`python -m tests.lab.bench [--servers 20] [--hosts cn1] [--rounds 3]`: a power cut of these hosts, with so many servers on each,
in each round, once under hanode and once under each loop; of several hosts the slowest counts, and all that comes after the first
fence. All times are read from the guests' disks (when each wrote again, elsewhere) and from the journal; medians, with the rounds
beside them. Prints a table and writes build/lab-bench.json. Machines are noisy: compare within one run.
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
from pathlib import Path
from threading import Event, Thread
from typing import Any

from openstack.connection import Connection

from .cluster import Cluster, until
from .conftest import mend
from .stack import client, disks, faults
from .stack.layout import REPOSITORY, Lab

Round = dict[str, float]
STATES = ("SUSPECT", "FENCING", "FENCED", "EVACUATING")
MANY_MAY_FAIL = "[brake]\npercent = 60"
"""Half of the lab may fail at once here; a real cloud's brake holds then, as the one of the other tests does."""


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

    return until("all guests writing again", look, bool, 900)


def assert_unharmed(lab: Lab) -> None:
    findings = disks.judge(lab)
    assert not findings, "\n".join(map(str, findings))


def boot(cloud: Connection, servers: int, sources: Sequence[str]) -> list[str]:
    """So many on each of them."""
    return [server_id for source in sources for server_id in client.boot(cloud, servers, source)]


def under_hanode(lab: Lab, cloud: Connection, servers: int, sources: Sequence[str], options: dict[str, Any]) -> Round:
    ids = boot(cloud, servers, sources)
    with tempfile.TemporaryDirectory() as directory, Cluster(lab, Path(directory), **options) as cluster:
        seen: dict[tuple[str, str], float] = {}
        over, watcher = _watch(cluster, sources, seen)
        wall_s, began_s = time.time(), time.monotonic()
        for source in sources:
            faults.power_cut(lab, source)
        back = wait_written(lab, ids, sources, began_s)
        records = [cluster.wait_recovered(source, 600) for source in sources]
        over.set()
        watcher.join()
    assert_unharmed(lab)
    detected = {source: seen.get((source, "FENCING"), seen[source, "FENCED"]) - began_s for source in sources}
    beats = {record.host: datetime.fromisoformat(record.last_beat_at + "+00:00").timestamp() - wall_s for record in records}
    fenced = [seen[source, "FENCED"] - began_s for source in sources]
    last = back[-1] - began_s
    return {
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
    return {"first": back[0] - began_s, "last": back[-1] - began_s, "rest": back[-1] - began_s}


def rounds(lab: Lab, cloud: Connection, count: int, play: Callable[[], Round]) -> list[Round]:
    found = []
    for _ in range(count):
        mend(lab, cloud)
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
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--per-target", type=int, default=8)
    options = parser.parse_args()
    lab = Lab.from_environment()
    cloud = client.connect(lab)
    sources = options.hosts.split(",")
    limits = {"at_once": options.at_once, "per_target": options.per_target, "protection": MANY_MAY_FAIL}
    results = {"hanode": rounds(lab, cloud, options.rounds, lambda: under_hanode(lab, cloud, options.servers, sources, limits))}
    for word in options.loops.split(","):
        at_once = options.servers * len(sources) if word == "all" else int(word)
        results[f"loop, {word} at once"] = rounds(
            lab,
            cloud,
            options.rounds,
            lambda at_once=at_once: under_loop(lab, cloud, options.servers, sources, at_once),  # type: ignore[misc]
        )
    return report(results)


def report(results: dict[str, list[Round]]) -> int:
    columns = ["detect_after_last_beat", "detect", "fence", "first", "last", "rest"]
    lines = [f"{'median of ' + str(len(next(iter(results.values())))) + ', seconds':28}" + "".join(f"{c[:12]:>14}" for c in columns)]
    for name, found in results.items():
        cells = [f"{median(found, c):14.1f}" if c in found[0] else f"{'-':>14}" for c in columns]
        lines.append(f"{name:28}" + "".join(cells))
    best = min(median(found, "rest") for name, found in results.items() if name != "hanode")
    lines.append(f"after the fence, hanode takes {median(results['hanode'], 'rest') / best:.2f} x the best loop")
    sys.stdout.write("\n".join(lines) + "\n")
    target = REPOSITORY / "build" / "lab-bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
