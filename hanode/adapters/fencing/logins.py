"""Have these credentials been refused so often that more tests with them would lock accounts?

A wrong password that many BMCs share would otherwise lock the account of each of them, in the one night in which they are
needed. Counted are different devices in a row; only background tests ask, a real fence always tries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST_REFUSED = 3
RARELY_S = 4 * 3600.0
"""So long after the last refusal one more device may be asked: it may have been mended at its own end."""


class Logins:
    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._last_s: dict[str, float] = {}  # credentials -> when they were last refused
        self._lock = threading.Lock()
        self._refused: dict[str, tuple[int, set[str]]] = {}  # credentials -> what the secrets were, by which devices refused

    def refused(self, credentials: str, secrets: int, device: str) -> None:
        with self._lock:
            known, devices = self._refused.get(credentials, (secrets, set()))
            self._refused[credentials] = (secrets, {device} | (devices if known == secrets else set()))
            self._last_s[credentials] = self._clock_s()

    def accepted(self, credentials: str) -> None:
        with self._lock:
            self._refused.pop(credentials, None)

    def stopped(self, credentials: str, secrets: int) -> bool:
        """Until the secrets are others, some device lets them in, or the configuration is read again (a new one of these).

        After RARELY_S one more device is asked; should it refuse as well, it was the only one.
        """
        with self._lock:
            known, devices = self._refused.get(credentials, (secrets, set()))
            if known != secrets or len(devices) < MOST_REFUSED:
                return False
            if self._clock_s() - self._last_s[credentials] < RARELY_S:
                return True
            self._last_s[credentials] = self._clock_s()
            return False
