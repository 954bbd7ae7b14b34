"""What time is it, on this machine's own clock and for people?"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hanode.core.model import Moment


class SystemClock:
    """CLOCK_BOOTTIME: unlike CLOCK_MONOTONIC it goes on while the machine is suspended, so a leader that slept
    through its deadline finds it passed."""

    def now(self) -> Moment:
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
        return Moment(seconds, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
