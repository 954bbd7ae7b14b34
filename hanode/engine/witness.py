"""What does a standby see from where it stands? It looks at whom the leader asks about, and says so in the journal; nothing else.

It only ever reads: hosts are probed, Nova's services are read. It writes its own testimony and withdraws it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from hanode.core.facts import Reading, Unknown
from hanode.core.model import Moment, Want, WantKind
from hanode.core.signals import NOVA, probe_key
from hanode.engine.observe import Key, Observer
from hanode.engine.testimony import Asked, Sight, Stand, Statement

LONG_S = 1e9
"""Of what was seen in this round: not looked at again before the next."""


PAUSE_S = 2.0
"""What some hosts have answered is told after so long, although others are still being waited for."""


class Witness:
    """`networks`: `Policy.ears`; they may change with a reload."""

    def __init__(self, node: str, stand: Stand, observer: Callable[[], Observer], networks: Sequence[str]) -> None:
        self._node, self._stand, self._make_observer = node, stand, observer
        self.networks = networks
        self._observer: Observer | None = None
        self._rounds: list[tuple[float, int]] = []  # when each round was first read here, on our own clock
        self._asked: Asked | None = None
        self._said: Mapping[str, Sight] = {}
        self._spoke_s = float("-inf")
        self._left_something = True  # perhaps, in an earlier life

    def tick(self, owner: str, willing: bool, now: Moment) -> None:
        """Look and speak, if the leader (`owner` of the epoch) asks. Raises as the journal does."""
        asked = self._stand.asked()
        if asked is None or asked.is_empty or asked.owner != owner:
            self.fall_silent()
            return
        self._note_round(asked, now)
        observer = self._observer = self._observer or self._make_observer()
        observer.addresses = asked.hosts
        readings = observer.readings()
        observer.want(self._wants(asked, readings), now.s)
        sights = dict(self._sights(readings))
        if sights != self._said and (self._has_seen_all(asked, readings) or now.s - self._spoke_s >= PAUSE_S):
            self._spoke_s = now.s
            self._left_something = True  # also when the answer to this write is lost
            if self._stand.testify(self._node, Statement(owner, now.at, willing, sights)):
                self._said = sights

    def rest(self) -> None:
        """We lead, or end: what was seen as a witness is forgotten."""
        self._observer, self._asked, self._rounds, self._said = None, None, [], {}
        self._spoke_s = float("-inf")

    def fall_silent(self) -> None:
        """Nobody asks: forget, and take back what was said."""
        self.rest()
        if self._left_something:
            self._stand.withdraw(self._node)
            self._left_something = False

    def _note_round(self, asked: Asked, now: Moment) -> None:
        if self._asked is not None and self._asked.owner != asked.owner:
            self.rest()
        if self._asked is None or self._asked.round != asked.round:
            self._rounds = [*self._rounds[-9:], (now.s, asked.round)]
        self._asked = asked

    def _keys(self, asked: Asked) -> Iterator[Key]:
        yield from ((WantKind.PROBE, probe_key(network, host)) for host in asked.hosts for network in self.networks)
        if asked.nova:
            yield WantKind.FLEET, ""

    def _is_seen(self, key: Key, asked: Asked, readings: Mapping[Key, Reading[object]]) -> bool:
        return key in readings and self._round_of(readings[key]) == asked.round

    def _has_seen_all(self, asked: Asked, readings: Mapping[Key, Reading[object]]) -> bool:
        return all(self._is_seen(key, asked, readings) for key in self._keys(asked))

    def _wants(self, asked: Asked, readings: Mapping[Key, Reading[object]]) -> Iterator[Want]:
        for kind, key in self._keys(asked):
            yield Want(kind, key, LONG_S if self._is_seen((kind, key), asked, readings) else 0.0)

    def _sights(self, readings: Mapping[Key, Reading[object]]) -> Iterator[tuple[str, Sight]]:
        for (kind, key), reading in sorted(readings.items()):
            number = self._round_of(reading)
            if number is not None:
                yield (NOVA if kind is WantKind.FLEET else key), Sight(_said(kind, reading.value), number)

    def _round_of(self, reading: Reading[object]) -> int | None:
        """The newest round that had been read when the look began: so the look is younger than that round."""
        return next((number for seen_s, number in reversed(self._rounds) if seen_s <= reading.started_s), None)


def _said(kind: WantKind, value: object) -> str:
    if isinstance(value, Unknown):
        return "unknown"
    return "answers" if kind is WantKind.FLEET or value else "silent"
