"""How long does nobody post when the leader goes in the middle of a recovery? Three real daemons, a real etcd, the embedded cloud.

From the signal to the next evacuation that Nova accepts, by the cloud's own clock; beside it the longest pause between two of them
before the signal. Every round is judged as an end-to-end test: each instance once, no disk with two writers.
"""

from __future__ import annotations

import signal
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hanode.sim.stage import Settings, Stage
from tests.e2e.play import Play

TTL_S = 5.0
HOSTS = 16
SETTINGS: Settings = {
    "office": {"lease_ttl_s": TTL_S},
    # Two at a time, so that there is always one to be posted next.
    "evacuation": {"max_at_once": 2, "accept_lag_s": 5, "repost_settle_s": 15, "retry_s": 2},
}
WAYS = {"SIGTERM": signal.SIGTERM, "kill -9": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP}
AIMS = {"SIGTERM": "2 s", "kill -9": f"2 x TTL ({TTL_S:.0f} s) + a tick", "SIGSTOP": f"2 x TTL ({TTL_S:.0f} s) + a tick"}


@dataclass(frozen=True)
class Gap:
    gap_s: float
    usual_s: float


def gaps(ways: list[str], rounds: int) -> dict[str, list[Gap]]:
    found: dict[str, list[Gap]] = {way: [] for way in ways}
    victims = iter([f"cn{number + half}" for number in range(1, 6) for half in (0, HOSTS // 2)])  # of either storage domain in turn
    with tempfile.TemporaryDirectory(prefix="hanode-bench-") as made, _stage(Path(made)) as stage:
        play = Play(stage)
        for _ in range(rounds):
            for way in ways:
                found[way].append(_round(play, next(victims), WAYS[way]))
    return found


def _stage(directory: Path) -> Stage:
    return Stage(directory, daemons=3, members=1, hosts=HOSTS, servers=6 * HOSTS, settings=SETTINGS)


def _round(play: Play, victim: str, number: signal.Signals) -> Gap:
    play.until_ready()
    term, leader, began = play.term, play.leader, play.now
    servers = play.cut_power(victim)
    play.until(lambda: play.accepted(servers) >= 2, "two accepted evacuations")
    signalled_s = float(play.stage.state()["now_s"])
    play.send(leader, number)
    play.until_succeeded(term)
    play.until_recovered(servers)
    play.judge(servers)
    play.restart(leader)
    posts_s = [float(e["time_s"]) for e in play.stage.events(began) if e["kind"] == "evacuate-accepted"]
    before = [now - then for then, now in pairwise(posts_s) if now <= signalled_s]
    return Gap(next(post_s for post_s in posts_s if post_s > signalled_s) - signalled_s, max(before, default=0.0))
