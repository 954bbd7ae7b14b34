"""How fast is a recovery on the lab, beside bare loops that know at once and only post?

`python -m tests.lab.bench [--servers 20] [--rounds 3]`: a power cut of cn1 in each round, once under hanode and once under
each loop. All times are read from the guests' disks (when each wrote again, elsewhere) and from the journal; medians, with
the rounds beside them. Prints a table and writes build/lab-bench.json. Machines are noisy: compare within one run.
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

SOURCE = "cn1"
Round = dict[str, float]


def first_writes(lab: Lab, ids: Sequence[str], since_s: float) -> list[float]:
    """When each guest wrote its disk for the first time elsewhere, after the power cut; raises if one never did."""
    found: dict[str, float] = {}
    for disk in disks.read_all(lab):
        for life in disk.lives:
            if disk.instance in ids and life.host != SOURCE and life.first > since_s:
                found[disk.instance] = min(life.first, found.get(disk.instance, life.first))
    assert len(found) == len(ids), f"{len(ids) - len(found)} guests never wrote again"
    return sorted(found.values())


def wait_written(lab: Lab, ids: Sequence[str], since_s: float) -> list[float]:
    def look() -> list[float]:
        try:
            return first_writes(lab, ids, since_s)
        except AssertionError:
            return []

    return until("all guests writing again", look, bool, 600)


def assert_unharmed(lab: Lab) -> None:
    findings = disks.judge(lab)
    assert not findings, "\n".join(map(str, findings))


def under_hanode(lab: Lab, cloud: Connection, servers: int, options: dict[str, Any]) -> Round:
    ids = client.boot(cloud, servers, SOURCE)
    with tempfile.TemporaryDirectory() as directory, Cluster(lab, Path(directory), **options) as cluster:
        beat = client.services(cloud)[SOURCE]["updated_at"]
        seen: dict[str, float] = {}
        over, watcher = _watch(cluster, seen)
        began_s = time.monotonic()
        faults.power_cut(lab, SOURCE)
        back = wait_written(lab, ids, began_s)
        cluster.wait_recovered(SOURCE, 600)
        over.set()
        watcher.join()
        record = cluster.record(SOURCE)
    assert_unharmed(lab)
    last_beat = record.last_beat_at if record else beat
    beat_s = began_s - (seen["wall"] - datetime.fromisoformat(last_beat + "+00:00").timestamp())
    return {
        "detect_after_last_beat": seen["FENCING"] - beat_s if "FENCING" in seen else seen["FENCED"] - beat_s,
        "detect": seen.get("FENCING", seen["FENCED"]) - began_s,
        "fence": seen["FENCED"] - began_s,
        "first": back[0] - began_s,
        "last": back[-1] - began_s,
        "rest": back[-1] - seen["FENCED"],
    }


def _watch(cluster: Cluster, seen: dict[str, float]) -> tuple[Event, Thread]:
    """Note when the record is first seen in each state."""
    over = Event()
    seen["wall"] = time.time()
    order = ["SUSPECT", "FENCING", "FENCED", "EVACUATING"]

    def watch() -> None:
        # Often enough for a tenth of a second, and only as long as there is something to see: looking costs what is measured.
        while order[-1] not in seen and not over.wait(0.2):
            record = cluster.record(SOURCE)
            now_s = time.monotonic()
            if record is not None and str(record.state) in order:
                for state in order[: order.index(str(record.state)) + 1]:
                    seen.setdefault(state, now_s)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    return over, thread


def under_loop(lab: Lab, cloud: Connection, servers: int, at_once: int) -> Round:
    """Knows of the failure at once, marks the host down, posts to the other hosts of the domain in turn: the floor."""
    ids = client.boot(cloud, servers, SOURCE)
    targets = [h.name for h in lab.hosts if h.domain == lab.host(SOURCE).domain and h.name != SOURCE]
    faults.power_cut(lab, SOURCE)
    began_s = time.monotonic()
    client.set_service(cloud, SOURCE, forced_down=True)

    def one(numbered: tuple[int, str]) -> None:
        number, server_id = numbered
        target = targets[number % len(targets)]
        status, text = client.evacuate(cloud, server_id, target, client.SHARED_MICROVERSION, shared=True)
        assert status == 200, text
        if at_once < servers:
            client.until("moved", lambda: client.server(cloud, server_id), lambda s: s["OS-EXT-SRV-ATTR:host"] == target, 600)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, enumerate(ids)))
    back = wait_written(lab, ids, began_s)
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loops", default="4,8,all")
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--per-target", type=int, default=8)
    options = parser.parse_args()
    lab = Lab.from_environment()
    cloud = client.connect(lab)
    limits = {"at_once": options.at_once, "per_target": options.per_target}
    results = {"hanode": rounds(lab, cloud, options.rounds, lambda: under_hanode(lab, cloud, options.servers, limits))}
    for word in options.loops.split(","):
        at_once = options.servers if word == "all" else int(word)
        results[f"loop, {word} at once"] = rounds(
            lab,
            cloud,
            options.rounds,
            lambda at_once=at_once: under_loop(lab, cloud, options.servers, at_once),  # type: ignore[misc]
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
