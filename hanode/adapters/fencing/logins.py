"""Have these credentials been refused so often that more tests with them would lock accounts?

A wrong password that many BMCs share would otherwise lock the account of each of them, in the one night in which they are
needed. Counted are different devices in a row; only background tests ask, a real fence always tries.
"""

from __future__ import annotations

import threading

MOST_REFUSED = 3


class Logins:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[str, tuple[int, set[str]]] = {}  # credentials -> what the secrets were, by which devices refused

    def refused(self, credentials: str, secrets: int, device: str) -> None:
        with self._lock:
            known, devices = self._refused.get(credentials, (secrets, set()))
            self._refused[credentials] = (secrets, {device} | (devices if known == secrets else set()))

    def accepted(self, credentials: str) -> None:
        with self._lock:
            self._refused.pop(credentials, None)

    def stopped(self, credentials: str, secrets: int) -> bool:
        """Until the secrets are others, some device lets them in, or the configuration is read again (a new one of these)."""
        with self._lock:
            known, devices = self._refused.get(credentials, (secrets, set()))
            return known == secrets and len(devices) >= MOST_REFUSED
