"""What is kept in the journal, and under which guards is it changed?

Every write of a leader compares two things: the epoch key's revision, so that a deposed leader changes nothing, and
the record's own last known revision, so that nothing is overwritten unseen. The epoch key is written only when office
is taken or resigned: its revision is the fencing token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanode.core.decisions import Closed
from hanode.core.model import Answer, Command
from hanode.core.records import HostRecovery, Records, Roster
from hanode.engine import codec
from hanode.engine.codec import (
    ANSWER,
    COMMAND,
    EPOCH,
    HISTORY,
    META,
    RECOVERY,
    RENEWED,
    ROSTER,
    STATUS,
    Epoch,
    Meta,
    Renewal,
    from_entry,
    plain_text,
    recovery_key,
    to_text,
)
from hanode.engine.packing import packed
from hanode.engine.testimony import Asked, Stand, asking
from hanode.errors import Ambiguous, Deposed, HanodeError, JournalConflict, Refused
from hanode.ports import Entry, Journal, Transaction

KEYS_LIMIT = 100
BYTES_LIMIT = 1_000_000
"""Of one transaction; etcd refuses more than 128 keys and more than 1.5 MiB."""

ANSWERS_KEPT = 100
HISTORY_KEPT = 200


class ForeignJournal(HanodeError):
    """The journal belongs to another cloud; acting on its records would power off the wrong hosts."""


@dataclass(frozen=True)
class Guard:
    """What a write under office compares: this very taking of office, by the revision of its epoch key."""

    term: int
    owner: str
    revision: int


@dataclass(frozen=True)
class Standing:
    """Who holds office as the journal has it, and the newest sign of life; revision 0 means no such key."""

    epoch: Epoch | None = None
    epoch_revision: int = 0
    renewal: Renewal | None = None
    renewed_revision: int = 0

    @property
    def guard(self) -> Guard | None:
        return Guard(self.epoch.term, self.epoch.owner, self.epoch_revision) if self.epoch else None

    def __str__(self) -> str:
        if self.epoch is None:
            return "nobody has held office yet, or the journal was wiped"
        if self.epoch.resigned:
            return f"{self.epoch.node} has resigned (term {self.epoch.term})"
        return f"{self.epoch.node} holds office (term {self.epoch.term})"


@dataclass(frozen=True)
class Book:
    """The journal as one load read it."""

    records: Records = field(default_factory=Records)
    commands: tuple[Command, ...] = ()  # the oldest first
    answers: tuple[Answer, ...] = ()  # the oldest first
    epoch: Epoch | None = None
    revisions: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """The layout of the journal and every guard. Used by one thread; only `epoch_stands` and `read_history` by others."""

    def __init__(self, journal: Journal, identity: str, history_kept: int = HISTORY_KEPT) -> None:
        self._journal = journal
        self._identity = identity
        self._history_kept = history_kept
        self._texts: dict[str, str] = {}  # recoveries, roster and commands, as last read or written
        self._revisions: dict[str, int] = {}  # the same keys; missing after our own write, which tells no revision
        self._answers: list[str] = []
        self.stand = Stand(journal)

    # ------------------------------------------------------------------ reading

    def load(self) -> Book:
        """Read everything but the history, and remember the revisions for the next commit."""
        epoch = self._one(EPOCH)
        self._meta()  # raises when the journal belongs to another cloud
        entries = self._journal.read(RECOVERY)
        roster = self._one(ROSTER)
        commands = self._journal.read(COMMAND)
        answers = _by_age(self._journal.read(ANSWER))
        known = [*entries, *commands, *([roster] if roster else [])]
        self._texts = {entry.key: entry.value for entry in known}
        self._revisions = {entry.key: entry.revision for entry in known}
        self._answers = [entry.key for entry in answers]
        return Book(
            records=Records(codec.records_in(entries), from_entry(Roster, roster) if roster else Roster()),
            commands=tuple(from_entry(Command, entry) for entry in _by_age(commands)),
            answers=tuple(from_entry(Answer, entry) for entry in answers),
            epoch=from_entry(Epoch, epoch) if epoch else None,
            revisions=dict(self._revisions),
        )

    def read_history(self) -> tuple[Closed, ...]:
        """The closed recoveries, oldest first."""
        return codec.history_in(self._journal.read(HISTORY))

    def read_status(self) -> Mapping[str, Any] | None:
        """What the leader last published about itself."""
        entry = self._one(STATUS)
        return codec.fields_of(STATUS, entry.value) if entry else None

    def read_answer(self, command_id: str) -> Answer | None:
        entry = self._one(ANSWER + command_id)
        return from_entry(Answer, entry) if entry else None

    # ------------------------------------------------------------------ operators

    def submit_command(self, command: Command) -> None:
        """Leave a command for the leader; anybody may. Refused when this id was used before."""
        key, text = COMMAND + command.command_id, to_text(command)
        try:
            created = self._journal.commit(Transaction({key: 0, ANSWER + command.command_id: 0}, {key: text}))
        except Ambiguous:
            if not self._found({key: text}) and self.read_answer(command.command_id) is None:
                raise
            created = True
        if not created:
            raise Refused(f"the command {command.command_id} was submitted before; look at its answer, or use a new id")

    # ------------------------------------------------------------------ office

    def read_standing(self) -> Standing:
        # Two reads may show two moments; whoever acts on them compares both revisions in one transaction.
        epoch, renewed = self._one(EPOCH), self._one(RENEWED)
        return Standing(
            from_entry(Epoch, epoch) if epoch else None,
            epoch.revision if epoch else 0,
            from_entry(Renewal, renewed) if renewed else None,
            renewed.revision if renewed else 0,
        )

    def epoch_stands(self, guard: Guard) -> bool:
        """One linearizable read: is this still the taking of office that the journal shows? Safe from any thread."""
        entry = self._one(EPOCH)
        # The owner as well as the revision: a journal restored from a backup may count its revisions anew.
        return entry is not None and entry.revision == guard.revision and _is_held_by(entry, guard.owner)

    def take_office(self, seen: Standing, epoch: Epoch, renewal: Renewal) -> Guard | None:
        """Compare-and-set of epoch and renewal against what was seen; None when another was faster.

        Raises ForeignJournal when the journal belongs to another cloud.
        """
        meta = self._meta()
        compares = {EPOCH: seen.epoch_revision, RENEWED: seen.renewed_revision, META: meta.revision if meta else 0}
        puts = {EPOCH: to_text(epoch), RENEWED: to_text(renewal)}
        if meta is None:
            puts[META] = to_text(Meta(self._identity, epoch.taken_at))
        try:
            if not self._journal.commit(Transaction(compares, puts)):
                return None
        except Ambiguous:
            pass  # decided by what is read back: the owner is a fresh uuid, so nobody else can have written it
        standing = self.read_standing()
        if standing.epoch is None or standing.epoch.owner != epoch.owner:
            return None
        return standing.guard

    def renew(self, guard: Guard, seen: Standing, renewal: Renewal) -> bool:
        """Show a sign of life; False when the epoch or the last renewal is not as seen. Ambiguous: even after reading back."""
        compares = {EPOCH: guard.revision, RENEWED: seen.renewed_revision}
        puts = {RENEWED: to_text(renewal)}
        try:
            return self._journal.commit(Transaction(compares, puts))
        except Ambiguous:
            if self.epoch_stands(guard) and self._found(puts):
                return True
            raise

    def resign_office(self, guard: Guard, epoch: Epoch) -> bool:
        """Mark our epoch as resigned; from then on nothing compares to `guard` any more."""
        return self._journal.commit(Transaction({EPOCH: guard.revision}, {EPOCH: to_text(epoch)}))

    # ------------------------------------------------------------------ the leader's writes

    def commit(
        self,
        guard: Guard,
        writes: Sequence[HostRecovery] = (),
        closes: Sequence[Closed] = (),
        forgets: Sequence[str] = (),
        roster: Roster | None = None,
        answers: Sequence[Answer] = (),
        status: Mapping[str, Any] | None = None,
        asked: Asked | None = None,
    ) -> None:
        """Write one tick's decisions: in one transaction when it fits, else in several, any prefix of which is safe.

        - The order is writes, roster, closes, forgets, answers, status, and what is asked of witnesses. Actions start only
          after all of them, so an intent without its act is the normal case of a crash.
        - Writes come before closes: a prefix then shows more hosts in recovery than decided, never fewer, and so lets
          the brake and the choice of targets only be more careful.
        - Answers come last: a command whose effect was written but not its answer is judged again, and is then seen to
          be done; the other way round an operator's word could be lost.

        Raises Deposed when the epoch is not ours (nothing of that transaction happened), JournalConflict when it is but
        a record is not as last known, Ambiguous when even reading back does not show whether it happened. After any of
        them: load again before deciding anew.
        """
        self._settle(guard)
        units = [
            *self._host_units(writes, closes),
            *([self._roster_unit(roster)] if roster is not None else []),
            *self._closing_units({record.host for record in writes}, closes, forgets),
            *self._answer_units(answers),
            *([Transaction({}, {STATUS: packed(plain_text(status))})] if status is not None else []),
            *([asking(asked)] if asked is not None else []),
        ]
        for batch in joined(units):
            self._commit_batch(guard, batch)

    def _host_units(self, writes: Sequence[HostRecovery], closes: Sequence[Closed]) -> Iterator[Transaction]:
        closed = {one.record.host: one for one in closes}
        for record in sorted(writes, key=lambda record: record.host):
            yield self._host_unit(record.host, record, closed.get(record.host))

    def _closing_units(self, written: set[str], closes: Sequence[Closed], forgets: Sequence[str]) -> Iterator[Transaction]:
        for closed in sorted(closes, key=lambda closed: closed.record.host):
            if closed.record.host not in written:  # else its old incident is closed together with the new one's write
                yield self._host_unit(closed.record.host, None, closed)
        if closes:
            yield from self._history_trim(len(closes))
        for host in sorted(set(forgets) - written):
            yield self._host_unit(host, None, None)

    def _host_unit(self, host: str, record: HostRecovery | None, closed: Closed | None) -> Transaction:
        main = recovery_key(host)
        texts = dict(codec.texts_of(record)) if record else {}
        stale = [key for key in codec.keys_of(RECOVERY, host, self._texts) if key not in texts]
        # The main key is written even when only a part changed: its revision guards the whole record.
        puts = {key: text for key, text in texts.items() if key == main or self._texts.get(key) != text}
        if closed:
            puts |= codec.texts_of_closed(closed)
        return Transaction({main: self._revisions.get(main, 0)}, puts, stale)

    def _roster_unit(self, roster: Roster) -> Transaction:
        return Transaction({ROSTER: self._revisions.get(ROSTER, 0)}, {ROSTER: packed(to_text(roster))})

    def _history_trim(self, added: int) -> Iterator[Transaction]:
        # Without the values: of 200 large incidents they are tens of megabytes, and this is read within a tick.
        revisions = self._journal.revisions(HISTORY)
        keys = sorted(revisions, key=lambda key: revisions[key])
        mains = [key for key in keys if key.startswith(f"{HISTORY}/")]
        for main in mains[: max(0, len(mains) + added - self._history_kept)]:
            yield Transaction({}, {}, codec.keys_of(HISTORY, main.removeprefix(f"{HISTORY}/"), keys))

    def _answer_units(self, answers: Sequence[Answer]) -> Iterator[Transaction]:
        for answer in answers:
            command = COMMAND + answer.command.command_id
            consumed = [command] if command in self._revisions else []
            puts = {ANSWER + answer.command.command_id: to_text(answer)}
            yield Transaction({command: self._revisions.get(command, 0)}, puts, consumed)
        for key in self._answers[: max(0, len(self._answers) + len(answers) - ANSWERS_KEPT)] if answers else ():
            yield Transaction({}, {}, (key,))

    def _commit_batch(self, guard: Guard, batch: Transaction) -> None:
        compares = {**batch.compares, EPOCH: guard.revision}
        try:
            happened = self._journal.commit(Transaction(compares, batch.puts, batch.deletes))
        except Ambiguous:
            if not self._found(batch.puts, batch.deletes):
                self._check_office(guard)
                raise
            happened = True
        if not happened:
            self._check_office(guard)
            raise JournalConflict(f"a record is not as it was read: one of {', '.join(sorted(batch.compares))}")
        self._remember(batch)

    def _check_office(self, guard: Guard) -> None:
        if not self.epoch_stands(guard):
            raise Deposed(f"not in office any more: {self.read_standing()}")

    def _remember(self, batch: Transaction) -> None:
        for key in (*batch.puts, *batch.deletes):
            self._texts.pop(key, None)
            self._revisions.pop(key, None)
        self._texts |= {key: text for key, text in batch.puts.items() if key == ROSTER or key.startswith(RECOVERY)}
        gone = set(batch.deletes)
        self._answers = [key for key in self._answers if key not in gone] + [key for key in batch.puts if key.startswith(ANSWER)]

    def _settle(self, guard: Guard) -> None:
        """Learn the revisions of our own last writes; a commit does not tell them."""
        loose = self._texts.keys() - self._revisions.keys()
        if not loose:
            return
        found = {entry.key: entry for home in (RECOVERY, ROSTER) for entry in self._journal.read(home)}
        for key in sorted(loose):
            if key not in found or found[key].value != self._texts[key]:
                self._check_office(guard)
                raise JournalConflict(f"{key} is not as we wrote it")
            self._revisions[key] = found[key].revision

    # ------------------------------------------------------------------ helpers

    def _one(self, key: str) -> Entry | None:
        return next((entry for entry in self._journal.read(key) if entry.key == key), None)

    def _meta(self) -> Entry | None:
        entry = self._one(META)
        if entry is not None and (identity := from_entry(Meta, entry).identity) != self._identity:
            raise ForeignJournal(
                f"this journal belongs to the cloud {identity}, and this daemon watches {self._identity}; give each cloud"
                f" its own [journal] cluster_id, or move the journal away if the cloud was renamed"
            )
        return entry

    def _found(self, puts: Mapping[str, str], deletes: Iterable[str] = ()) -> bool:
        """Does the journal show exactly what this transaction would have left behind?"""
        entries = {key: self._one(key) for key in sorted({*puts, *deletes})}
        wanted: dict[str, str | None] = {**dict.fromkeys(deletes), **puts}
        return all((entry.value if entry else None) == wanted[key] for key, entry in entries.items())


def joined(units: Iterable[Transaction]) -> Iterator[Transaction]:
    """Join units in their order into as few transactions as the limits allow; a unit is never split."""
    batch = Transaction({}, {}, ())
    for unit in units:
        both = Transaction({**batch.compares, **unit.compares}, {**batch.puts, **unit.puts}, (*batch.deletes, *unit.deletes))
        if _fits(both) or not (batch.puts or batch.deletes):
            batch = both
        else:
            yield batch
            batch = unit
    if batch.puts or batch.deletes:
        yield batch


def _fits(transaction: Transaction) -> bool:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in transaction.puts.items())
    return len(transaction.puts) + len(transaction.deletes) <= KEYS_LIMIT and size <= BYTES_LIMIT


def _by_age(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.revision)


def _is_held_by(entry: Entry, owner: str) -> bool:
    epoch = from_entry(Epoch, entry)
    return epoch.owner == owner and not epoch.resigned
