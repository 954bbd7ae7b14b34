"""What does a leader ask its witnesses, and how old is what they answer? One per taking of office, on the leader's own clock.

Nobody is asked while nobody is suspected: then nothing is written and nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hanode.core.facts import Fleet, Reading, Unknown
from hanode.core.model import Want, WantKind
from hanode.core.signals import NOVA
from hanode.engine.testimony import Asked, Sight, Statement

ROUND_S = 5.0
"""A new round at most so often: each is one small write by the leader, and one by each witness."""

AT_MOST = 100
"""So many hosts are asked about at once, those that are looked at most often first; what ails more of them is no host's death."""

REMEMBERED = 64
"""Rounds; an answer to an older one is older than anybody believes."""


class Inquiry:
    def __init__(self, owner: str, node: str) -> None:
        self._node = node
        self._asked = Asked(owner, 0)
        self._sent_s: dict[int, float] = {}  # round -> a moment before it was sent

    @property
    def is_open(self) -> bool:
        return not self._asked.is_empty

    def next(self, wants: Iterable[Want], fleet: Fleet | None, now_s: float) -> Asked | None:
        """The next round, to be written now; None when it is not due. It counts as sent from now on, whatever becomes of it."""
        due = sorted((want.every_s, want.key) for want in wants if want.kind is WantKind.WITNESS)
        hosts = {host: _address(host, fleet) for _, host in due[:AT_MOST] if host != NOVA}
        asked = Asked(self._asked.owner, self._asked.round + 1, dict(sorted(hosts.items())), any(host == NOVA for _, host in due))
        same = (asked.hosts, asked.nova) == (self._asked.hosts, self._asked.nova)
        every_s = max(ROUND_S, min((every_s for every_s, _ in due), default=0.0))
        if same and (asked.is_empty or now_s - self._sent_s[self._asked.round] < every_s):
            return None
        self._asked = asked
        self._sent_s[asked.round] = now_s
        self._sent_s.pop(asked.round - REMEMBERED, None)
        return asked

    def heard(self, testimonies: Mapping[str, Statement]) -> Mapping[tuple[str, str], Reading[object]]:
        """(witness, `signals.probe_key` or NOVA) -> what it saw, as old as the round that it answers."""
        return {
            (node, key): Reading(_value(sight), self._sent_s[sight.round], self._sent_s[sight.round])
            for node, testimony in testimonies.items()
            if self._is_to_us(node, testimony)
            for key, sight in testimony.sights.items()
            if sight.round in self._sent_s
        }

    def willing(self, testimonies: Mapping[str, Statement]) -> frozenset[str]:
        return frozenset(node for node, testimony in testimonies.items() if self._is_to_us(node, testimony) and testimony.willing)

    def _is_to_us(self, node: str, testimony: Statement) -> bool:
        return testimony.owner == self._asked.owner and node != self._node


def _address(host: str, fleet: Fleet | None) -> str:
    found = fleet.hosts.get(host) if fleet else None
    return found.hypervisor.host_ip if found and found.hypervisor else ""


def _value(sight: Sight) -> object:
    return {"answers": True, "silent": False}.get(sight.said, Unknown(sight.said))
