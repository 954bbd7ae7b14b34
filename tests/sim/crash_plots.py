"""In which stories does the leader die at every call? Each with the seconds within which it does.

Everything is several times faster than in a real cloud, in the same proportions: fewer ticks, the same calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from unittest.mock import patch

SMALL_CLOUD = """
timings report_interval_s=2 service_down_time_s=6 rpc_timeout_s=6 boot_s=6 agent_start_s=1 sync_power_s=3 spawn_s=3
policy report_interval_s=2 suspect_after_s=3 fence_after_s=8 office_hold_s=4 poll_s=1
policy lease_ttl_s=6 http_timeout_s=5 accept_lag_s=5 repost_settle_s=16
policy fence_timeout_s=8 fence_backoff_s=2 reading_gap_s=1 retry_s=3 home_watch_s=10 healthy_s=20
hosts c1 c2 c3 c4
servers on1 on c1
servers off1 on c1 state=stopped
servers locked1 on c1 locked
"""


@dataclass(frozen=True)
class Plot:
    """A story, the seconds within which somebody dies in it, and who. `small_keys`: the journal splits everything it can."""

    text: str
    from_s: float
    to_s: float
    dies: str = "n1"
    small_keys: bool = False

    @contextlib.contextmanager
    def limits(self) -> Iterator[None]:
        """A record of two instances in a key and two keys in a transaction, instead of ten and a hundred."""
        if not self.small_keys:
            yield
            return
        with patch("hanode.engine.codec.TABLE_LIMIT", 2), patch("hanode.engine.ledger.KEYS_LIMIT", 2):
            yield


PLOTS: Mapping[str, Plot] = {
    "recovery": Plot(SMALL_CLOUD + "10 panic c1\nuntil 200\n", 13.0, 38.0),
    "fence-retry": Plot(SMALL_CLOUD + "5 device c1 silent\n10 panic c1\n24 device c1 ok\nuntil 200\n", 17.0, 42.0),
    "release-by-itself": Plot(
        SMALL_CLOUD + "policy release=auto\n10 power-off c1\n40 power-on c1\nuntil 200\n", 40.0, 53.0, small_keys=True
    ),
    "release-by-operator": Plot(
        SMALL_CLOUD + "10 power-off c1\n36 power-on c1\n46 operator release c1 mended\n70 operator release c1 again\nuntil 200\n",
        45.0, 54.0,
    ),
    "restart-in-place": Plot(SMALL_CLOUD + "policy recovery=restart release=auto\n10 panic c1\nuntil 200\n", 23.0, 42.0),
    "taking-over": Plot(SMALL_CLOUD + "10 panic c1\n24.9 kill n1 for=300\nuntil 200\n", 24.9, 52.0, dies="n2"),
    "coming-home": Plot(SMALL_CLOUD.replace("boot_s=6", "boot_s=3") + "10 reboot c1\nuntil 200\n", 13.6, 32.0),
    "confirm-fenced": Plot(
        SMALL_CLOUD + "without-device c1\n"
        "10 panic c1\n24 operator confirm-fenced c1 dark\n45 operator confirm-fenced c1 again\nuntil 200\n",
        20.0, 44.0,
    ),
    "armed-by-reload": Plot(SMALL_CLOUD + "policy mode=observe\n10 panic c1\n24 reload mode=act\nuntil 200\n", 23.0, 42.0),
    "draining": Plot(
        SMALL_CLOUD.replace("spawn_s=3", "spawn_s=3 copy_s=3") + "14 operator maintenance c1 memory for=600\n"
        "70 operator end-maintenance c1 done\n92 operator end-maintenance c1 again\nuntil 240\n",
        14.0, 74.0,
    ),
    "stopped-first": Plot(SMALL_CLOUD + "policy stopped_first=yes\n10 panic c1\nuntil 200\n", 34.0, 40.0),
    "failback": Plot(
        SMALL_CLOUD.replace("spawn_s=3", "spawn_s=3 copy_s=3") + "policy release=auto failback=auto failback_after_s=5\n"
        "10 power-off c1\n40 power-on c1\nuntil 200\n",
        75.0, 88.0,
    ),
    "storage-cut": Plot(SMALL_CLOUD + "store ceph-a\nwithout-device c1\n10 cut-network c1\nuntil 200\n", 17.0, 34.0),
    "storage-cut-lifted": Plot(
        SMALL_CLOUD + "policy fence_settle_s=4\nstore ceph-a\nwithout-device c1\n10 cut-network c1\n"
        "42 power-off c1\n42 restore-network c1\n43 power-on c1\n"
        "56 operator release c1 mended\n80 operator release c1 again\n110 operator release c1 again\nuntil 240\n",
        55.0, 66.0,
    ),
    "journal-in-parts": Plot(
        SMALL_CLOUD + "hosts c5 c6\nservers on2 on3 on c2\n10 power-off c1\n10 power-off c2\nuntil 200\n", 13.0, 30.0, small_keys=True
    ),
}
