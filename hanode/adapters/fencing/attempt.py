"""How long may one use of a power device last, and may an order have left when it ends early?

An attempt ends early when its time is up or when it is aborted (we were deposed). Whether that is Unreachable or
Ambiguous is decided by one flag, set under a lock straight before the order leaves: an attempt that is over can not
send any more, and one that sent can not claim that it did not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable

POLL_S = 0.1

T = TypeVar("T")


class LoginRefused(Refused):
    """The device did not let us in: nothing was ordered, and another password may do."""


class Attempt:
    def __init__(self, device: str, timeout_s: float, abort: Callable[[], bool]) -> None:
        self.device = device
        self._timeout_s = timeout_s
        self._deadline_s = time.monotonic() + timeout_s
        self._abort = abort
        self._lock = threading.Lock()
        self._sending = False
        self._over = False

    def remaining_s(self) -> float:
        return max(0.0, self._deadline_s - time.monotonic())

    def check(self) -> None:
        """Raise when the attempt must end now."""
        if self._abort():
            raise self._end_aborted()
        if self.remaining_s() == 0.0:
            raise self.unanswered(f"no answer within {self._timeout_s:g} s")

    def sending(self) -> None:
        """To be called straight before an order leaves; raises when it must not leave any more."""
        self.check()
        with self._lock:
            if self._over:
                raise Unreachable(f"{self.device}: given up before the order was sent")
            self._sending = True

    def unanswered(self, why: str) -> HanodeError:
        """End the attempt: the error that an answer which never came stands for."""
        if self._end():
            return Ambiguous(f"{self.device}: {why}; the order may have arrived")
        return Unreachable(f"{self.device}: {why}; no order was sent")

    def _end_aborted(self) -> HanodeError:
        sent = self._end()
        return Ambiguous(f"{self.device}: aborted {'after' if sent else 'before'} the order was sent")

    def _end(self) -> bool:
        with self._lock:
            self._over = True
            return self._sending


def in_thread(attempt: Attempt, work: Callable[[], T]) -> T:
    """Run `work` and wait for it as long as the attempt may last.

    A thread can not be killed. One that is left behind is harmless: `Attempt.sending` stops it before any order, and
    its sockets have timeouts of their own.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed over to the waiting thread, which raises it
            future.set_exception(error)

    threading.Thread(target=run, name=f"fencing {attempt.device}", daemon=True).start()
    while not wait([future], timeout=POLL_S).done:
        attempt.check()
    return future.result()
