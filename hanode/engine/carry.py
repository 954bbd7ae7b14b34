"""How do the records move from one journal to another: to a new etcd, or from the file of one controller to three?

Only records are carried. Office, status and commands belong to the journal that they were written in: an old command
must not be obeyed twice, and whoever leads takes office in the new journal by its own rules.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanode.engine import codec
from hanode.engine.codec import ANSWER, COMMAND, EPOCH, HISTORY, META, RECOVERY, RENEWED, STATUS, Epoch, Meta, Renewal, from_entry
from hanode.engine.ledger import Ledger, joined
from hanode.errors import Refused
from hanode.ports import Entry, Journal, Transaction

FORMAT = "hanode journal 1"
NODE = "journal import"
LEFT_BEHIND = (EPOCH, RENEWED, STATUS, COMMAND, ANSWER)
TTL_S = 15.0


@dataclass(frozen=True)
class Cargo:
    cloud: str
    term: int
    texts: Mapping[str, str]


def exported(journal: Journal, at: str) -> str:
    """All records of a journal as JSON text."""
    entries = journal.read("")
    meta = next((entry for entry in entries if entry.key == META), None)
    if meta is None:
        raise Refused("this journal is empty: there is nothing to export")
    epoch = next((from_entry(Epoch, entry) for entry in entries if entry.key == EPOCH), None)
    kept = {entry.key: entry.value for entry in entries if entry.key != META and not entry.key.startswith(LEFT_BEHIND)}
    head = {"format": FORMAT, "cloud": from_entry(Meta, meta).identity, "exported_at": at, "term": epoch.term if epoch else 0}
    return json.dumps({**head, "entries": kept}, indent=1, sort_keys=True) + "\n"


def imported(journal: Journal, text: str, at: str) -> int:
    """Write them into an empty journal; how many keys. The import holds office meanwhile, so that no daemon begins on a part."""
    cargo = _parsed(text)
    if journal.read(""):
        standing = Ledger(journal, cargo.cloud).read_standing()
        raise Refused(f"this journal is not empty ({standing}): stop every daemon, and name a journal that nobody has used")
    ledger = Ledger(journal, cargo.cloud)
    epoch = Epoch(cargo.term + 1, uuid.uuid4().hex, NODE, at)
    guard = ledger.take_office(ledger.read_standing(), epoch, Renewal(epoch.term, epoch.owner, 0, at, TTL_S))
    if guard is None:
        raise Refused("another took office in this journal at this moment: stop every daemon first")
    for batch in joined(Transaction({}, {key: value}) for key, value in sorted(cargo.texts.items())):
        if not journal.commit(Transaction({EPOCH: guard.revision}, batch.puts)):
            raise Refused("a daemon took office while the records were written: stop every daemon, empty this journal, and try again")
    ledger.resign_office(guard, Epoch(epoch.term, epoch.owner, NODE, at, resigned=True))
    return len(cargo.texts)


def _parsed(text: str) -> Cargo:
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise Refused(f"this is of the format {content['format']!r}, and this version reads {FORMAT!r}")
        entries = [Entry(key, value, 1) for key, value in content["entries"].items()]
        _check(entries)
        return Cargo(str(content["cloud"]), int(content["term"]), dict(content["entries"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"this is not what `hanode journal export` wrote: {type(error).__name__} {error}") from error


def _check(entries: Sequence[Entry]) -> None:
    """Read every record once, before any is written: raises NewerSchema or CorruptEntry."""
    codec.records_in([entry for entry in entries if entry.key.startswith(RECOVERY)])
    codec.history_in([entry for entry in entries if entry.key.startswith(HISTORY)])
