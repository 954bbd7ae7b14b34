"""What does the leader ask its standbys, and what do they testify? Two kinds of keys of the journal, and who may write them.

`asked` is the leader's, written like all that is his under the guard of his epoch. `witness/<node>` belongs to one standby. It is
the only thing that a standby ever writes, and it cannot hurt a leader: it compares nothing but its own last revision, touches no
other key, and promises nothing. What it says is bound by its content: each sight names the round of which leader it answers, and
began after that round was read. A leader knows when it sent each of its own rounds, so the age of a sight is known on the
leader's clock alone. What is late, left over, restored from a backup or told to another leader names no round of his.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanode.engine.codec import from_entry, to_text
from hanode.ports import Entry, Journal, Transaction

ASKED = "asked"
WITNESS = "witness/"


@dataclass(frozen=True)
class Asked:
    """What a leader wants to know, in the round of this number."""

    owner: str  # of the epoch
    round: int
    hosts: Mapping[str, str] = field(default_factory=dict)  # host -> its host_ip, for a witness that cannot read Nova
    nova: bool = False  # can you read Nova's services?

    @property
    def is_empty(self) -> bool:
        return not self.hosts and not self.nova


@dataclass(frozen=True)
class Sight:
    said: str  # "answers" | "silent" | "unknown"
    round: int  # the newest that had been read when the look began


@dataclass(frozen=True)
class Statement:
    owner: str  # whom it answers
    at: str  # for people
    willing: bool  # would it take office, were that free?
    sights: Mapping[str, Sight] = field(default_factory=dict)  # `signals.probe_key`, or `signals.NOVA`


class Stand:
    """Where witnesses speak. Used by one thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def asked(self) -> Asked | None:
        """What whoever led last wants to know. Raises as a read of the journal, and CorruptEntry."""
        entry = self._one(ASKED)
        return from_entry(Asked, entry) if entry else None

    def testimonies(self) -> Mapping[str, Statement]:
        """By node; also those that answer somebody else."""
        return {entry.key.removeprefix(WITNESS): from_entry(Statement, entry) for entry in self._journal.read(WITNESS)}

    def testify(self, node: str, testimony: Statement) -> bool:
        """Replace our own testimony; False when another process of our name came in between."""
        key = WITNESS + node
        entry = self._one(key)
        return self._journal.commit(Transaction({key: entry.revision if entry else 0}, {key: to_text(testimony)}))

    def withdraw(self, node: str) -> None:
        """Nobody asks any more: leave nothing behind."""
        key = WITNESS + node
        entry = self._one(key)
        if entry is not None:
            self._journal.commit(Transaction({key: entry.revision}, {}, (key,)))

    def _one(self, key: str) -> Entry | None:
        return next((entry for entry in self._journal.read(key) if entry.key == key), None)


def asking(asked: Asked) -> Transaction:
    """One unit of a leader's commit, which adds the guard of the epoch."""
    return Transaction({}, {ASKED: to_text(asked)})
