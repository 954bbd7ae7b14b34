"""How does news reach a channel that may be slow, down or gone, without anybody waiting for it?

One thread and one bounded queue for each channel. What is not delivered is tried again, ever more slowly, until it is too
old to be news; a queue that is full forgets its oldest. Delivery is in order, at least once: what was sent and not answered
is sent again, and the receiver knows it by its idempotency key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from hanode import metrics
from hanode.core.news import News
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable

LOG = logging.getLogger(__name__)

PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Between attempts; the last one again and again."""

QUEUE = 256


class Channel(Protocol):
    """One way to tell. Both raise nothing but Refused, Unreachable and Ambiguous."""

    @property
    def name(self) -> str:
        """"webhook" or "command": a label of metrics."""
        ...

    def deliver(self, news: News, ended: Callable[[], bool]) -> None:
        """One attempt. Refused: it will never be taken. `ended` becomes true when nobody waits for it any more."""
        ...


class Courier:
    """`ports.Notifier` over one channel."""

    def __init__(self, channel: Channel, events: frozenset[str], give_up_s: float, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._channel, self._events, self._give_up_s, self._pauses_s = channel, events, give_up_s, pauses_s
        self._waiting: deque[tuple[News, float]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._round = 0  # grows when everything that waits is forgotten
        self._is_busy = False
        self._trouble = ""  # why the newest attempt failed, to be logged once
        self._thread: threading.Thread | None = None

    def tell(self, news: News) -> None:
        if news.event not in self._events:
            return
        with self._changed:
            if self._closing:
                return
            if len(self._waiting) >= QUEUE:
                self._waiting.popleft()
                metrics.notified(self._channel.name, "dropped")
            self._waiting.append((news, time.monotonic()))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"notify-{self._channel.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            metrics.notifications_wait(self._channel.name, len(self._waiting))

    def forget(self) -> None:
        with self._changed:
            if self._waiting:
                self._waiting.clear()
                self._round += 1
                metrics.notifications_wait(self._channel.name, 0)
                self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Deliver what waits, with one attempt each and no pause between them; True when the queue is empty in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not (self._waiting or self._is_busy), max(0.0, timeout_s))
            self._waiting.clear()
            self._round += 1
            return done

    # ------------------------------------------------------------------ the worker

    def _work(self) -> None:
        attempt = 0
        while (item := self._next()) is not None:
            news, told_s, round_ = item
            outcome = self._try(news, round_)
            late = outcome == "failed" and (self._closing or time.monotonic() - told_s > self._give_up_s)
            outcome = "gave-up" if late else outcome
            metrics.notified(self._channel.name, outcome)
            if late:
                LOG.error("notification by %s given up after %.0f s: %s", self._channel.name, time.monotonic() - told_s, news.text)
            attempt = attempt + 1 if outcome == "failed" else 0
            self._settle(news, outcome, self._pauses_s[min(attempt, len(self._pauses_s)) - 1] if attempt else 0.0)

    def _next(self) -> tuple[News, float, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            self._is_busy = True
            return *self._waiting[0], self._round

    def _try(self, news: News, round_: int) -> str:
        try:
            self._channel.deliver(news, lambda: self._round != round_)
        except Refused as error:
            LOG.error("notification by %s refused, and not tried again: %s", self._channel.name, error)
            return "refused"
        except (Unreachable, Ambiguous) as error:
            self._say(error)
            return "failed"
        except Exception:  # a channel promises not to raise this; a defect must not end the thread
            LOG.exception("notification by %s failed in a way it should not; this is a defect of hanode", self._channel.name)
            return "refused"
        if self._trouble:
            self._trouble = ""
            LOG.info("notifications by %s are delivered again", self._channel.name)
        return "delivered"

    def _say(self, error: HanodeError) -> None:
        """Once for each trouble, not at each attempt."""
        if not self._trouble:
            LOG.warning("notification by %s failed, trying again: %s", self._channel.name, error)
        self._trouble = str(error)

    def _settle(self, news: News, outcome: str, pause_s: float) -> None:
        with self._changed:
            if outcome != "failed" and self._waiting and self._waiting[0][0] is news:
                self._waiting.popleft()
            metrics.notifications_wait(self._channel.name, len(self._waiting))
            self._is_busy = False
            self._changed.notify_all()
            if pause_s:
                round_ = self._round
                self._changed.wait_for(lambda: self._closing or self._round != round_, pause_s)


class Couriers:
    """`ports.Notifier` over any number of channels; a slow one delays no other."""

    def __init__(self, couriers: Sequence[Courier] = ()) -> None:
        self._couriers = couriers

    def tell(self, news: News) -> None:
        for courier in self._couriers:
            courier.tell(news)

    def forget(self) -> None:
        for courier in self._couriers:
            courier.forget()

    def close(self, timeout_s: float) -> bool:
        give_up_s = time.monotonic() + timeout_s
        done = [courier.close(give_up_s - time.monotonic()) for courier in self._couriers]  # every one of them, whatever the first says
        return all(done)
