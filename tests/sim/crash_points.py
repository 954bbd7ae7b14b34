"""What is left of a recovery when its leader dies at one chosen call? The stories, the crash, and the comparison.

A crash inside a tick, between two calls, changes nothing outside; so before and after every port call are all the points
at which a process can die.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from hanode.engine.codec import RENEWED
from hanode.sim.node import PortCall
from hanode.sim.scenario import Result, play

WORKERS = 2
MOMENTS = ("before", "after")

SMALL_CLOUD = """
timings report_interval_s=2 service_down_time_s=6 rpc_timeout_s=6 boot_s=6 agent_start_s=1 sync_power_s=3 spawn_s=3
policy report_interval_s=2 suspect_after_s=3 fence_after_s=8 office_hold_s=4 poll_s=1
policy lease_ttl_s=6 http_timeout_s=5 accept_lag_s=5 repost_settle_s=16
policy fence_timeout_s=8 fence_backoff_s=2 reading_gap_s=1 retry_s=3 home_watch_s=10
hosts c1 c2 c3 c4
servers on1 on c1
servers off1 on c1 state=stopped
servers locked1 on c1 locked
"""
"""Everything is several times faster than in a real cloud, in the same proportions: fewer ticks, the same calls."""


@dataclass(frozen=True)
class Plot:
    """A story, and the seconds within which the leader dies."""

    text: str
    from_s: float
    to_s: float


PLOTS: Mapping[str, Plot] = {
    "recovery": Plot(SMALL_CLOUD + "10 panic c1\nuntil 100\n", 13.0, 38.0),
    "fence-retry": Plot(SMALL_CLOUD + "5 device c1 silent\n10 panic c1\n24 device c1 ok\nuntil 120\n", 17.0, 50.0),
    "release": Plot(
        SMALL_CLOUD + "policy release=auto\n10 power-off c1\n40 power-on c1\nuntil 120\n", 40.0, 53.0
    ),
    "restart-in-place": Plot(SMALL_CLOUD + "policy recovery=restart release=auto\n10 panic c1\nuntil 140\n", 23.0, 50.0),
}


@dataclass(frozen=True)
class End:
    """What must be the same however the leader died. Where a server runs may differ, that it does may not."""

    servers: tuple[str, ...]
    host: str
    violations: tuple[str, ...]


def end_of(result: Result) -> End:
    world, host = result.world, result.world.hosts["c1"]
    records = result.simulation.book().records.hosts
    closed = [record.outcome for record in result.simulation.history()]
    servers = tuple(
        f"{s.name}: runs on {len(world.hosts.running(s.instance_id))} hosts, {s.vm_state}/{s.task_state}, "
        f"{'locked' if s.locked else 'free'}, {'on' if s.host == 'c1' else 'not on'} c1"
        for s in world.servers.live()
    )
    service = f"{'forced down, ' if host.forced_down else ''}{host.status}"
    state = records["c1"].state if "c1" in records else f"closed {closed}"
    return End(servers, f"{'on' if host.powered else 'off'}, {service}, {state}", tuple(map(str, result.violations)))


@dataclass(frozen=True)
class Clean:
    """The story without a crash: the leader's calls within the window, and how it ends."""

    calls: tuple[PortCall, ...]
    end: End

    def points(self, every: bool = False) -> list[tuple[int, str]]:
        """Before and after every call; unless `every`, only points that can lead to different stories.

        A tick begins with reads of the journal and the renewal of its office, all in one moment: to die among them is to
        die at the first, apart from one renewal more or less, by which the next leader comes a little later or earlier.
        """
        if every:
            return [(call.number, moment) for call in self.calls for moment in MOMENTS]
        found = []
        for former, call in zip((None, *self.calls), self.calls, strict=False):
            if not _only_renews(call):
                found += [(call.number, moment) for moment in MOMENTS]
            elif former is None or not _only_renews(former) or former.time_s != call.time_s:
                found.append((call.number, "before"))
        return found


def _only_renews(call: PortCall) -> bool:
    return call.name in ("journal.read", "lock.hold") or (call.name, call.subject) == ("journal.commit", RENEWED)


def clean(plot: Plot) -> Clean:
    result = play(plot.text)
    trace = result.simulation.daemons["n1"].node.trace
    return Clean(tuple(call for call in trace if plot.from_s <= call.time_s <= plot.to_s), end_of(result))


def end_after_crash(name: str, number: int, moment: str) -> End:
    result = play(PLOTS[name].text, crash_at=[(number, moment)])
    died = any("crashes" in line for line in result.simulation.story.lines)
    return end_of(result) if died else End((), f"n1 did not die {moment} call {number}", ())


def _end_at(point: tuple[str, int, str]) -> End:
    return end_after_crash(*point)


def ends(points: Iterable[tuple[str, int, str]]) -> Iterator[tuple[tuple[str, int, str], End]]:
    """Each point with its end, in the order of the points."""
    listed = list(points)
    with ProcessPoolExecutor(WORKERS) as pool:
        yield from zip(listed, pool.map(_end_at, listed, chunksize=8), strict=True)
