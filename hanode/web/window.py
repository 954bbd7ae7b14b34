"""How may many readers look at one journal? Through a copy that is at most a second old, so that etcd feels one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable
from hanode.ports import Entry, Journal, Transaction

FRESH_S = 1.0


class Window:
    """The Journal port, for reading only. Failures are remembered as long as answers: a sick etcd is not asked by everybody."""

    def __init__(self, journal: Journal, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._clock_s = journal, clock_s
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, tuple[Entry, ...] | HanodeError]] = {}

    def read(self, prefix: str) -> tuple[Entry, ...]:
        with self._lock:  # one read at a time, whatever hurry the readers are in
            read_s, found = self._seen.get(prefix, (float("-inf"), ()))
            if self._clock_s() - read_s > FRESH_S:
                found = self._look(prefix)
                self._seen[prefix] = self._clock_s(), found
        if isinstance(found, HanodeError):
            raise found
        return found

    def _look(self, prefix: str) -> tuple[Entry, ...] | HanodeError:
        try:
            return self._journal.read(prefix)
        except (Refused, Unreachable, Ambiguous) as error:
            return error

    def revisions(self, prefix: str) -> dict[str, int]:
        return {entry.key: entry.revision for entry in self.read(prefix)}

    def commit(self, transaction: Transaction) -> bool:  # noqa: ARG002 - the port has it
        raise Refused("the web port only reads: an operator's word is given with the hanode command on a controller")
