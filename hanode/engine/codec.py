"""How does a record look in the journal: which key, which text?

Every text is one JSON object with the schema version beside the fields, keys sorted, so that equal records give equal
text. Fields that this version does not know are ignored; a schema that it does not know stops it, because guessing at
what a newer version promised is not safe.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, cast, get_args, get_origin

from cattrs import BaseConverter, BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_unstructure_fn

from hanode.core.circumstances import Circumstances
from hanode.core.decisions import Closed
from hanode.core.records import HostRecovery, InstanceRecovery
from hanode.engine.packing import PACKED, PACKED_SCHEMA
from hanode.engine.squeeze import squeezed, unsqueezed
from hanode.errors import HanodeError
from hanode.ports import Entry

WRITTEN = 1
"""The schema of plain text."""

SCHEMA = PACKED_SCHEMA
"""The newest that we can read."""

META = "meta"
EPOCH = "epoch"
RENEWED = "renewed"
ROSTER = "roster"
STATUS = "status"
COMMAND = "command/"
ANSWER = "answer/"
RECOVERY = "recovery"
HISTORY = "history"

TABLE_LIMIT = 10
"""Instances beside their host in its main key. A larger table is in keys of about so many, `<home>-part/<name>/<number>`, and only
those of which something changed are written, always with the main key: a step of one instance does not write a thousand."""

PARTS_LIMIT = 30
"""So many keys at most for one table: a record is never split over two transactions, and etcd takes 128 keys in one."""

T = TypeVar("T")


class NewerSchema(HanodeError):
    """A newer hanode has written this; this one stands down."""


class CorruptEntry(HanodeError):
    """A key of the journal holds something that no version has written."""


# --------------------------------------------------------------------------- what only the journal knows


@dataclass(frozen=True)
class Meta:
    """Which cloud this journal belongs to."""

    identity: str
    created_at: str


@dataclass(frozen=True)
class Epoch:
    """Who holds office. Written only when office is taken or resigned, so that its revision is the fencing token."""

    term: int
    owner: str  # a fresh uuid for each taking of office
    node: str  # for people
    taken_at: str  # for people
    resigned: bool = False


@dataclass(frozen=True)
class Renewal:
    """A sign of life of the office holder; what a candidate watches for standing still."""

    term: int
    owner: str
    count: int
    at: str  # for people
    ttl_s: float  # for people: a new one is due before this has passed


@dataclass(frozen=True)
class _Kept:
    """A host recovery in its main key, with its instance table as far as that is not in parts."""

    record: HostRecovery
    parts: int = 0
    outcome: str = ""
    circumstances: bool = False  # they are in a key of their own, which is seldom written


@dataclass(frozen=True)
class _Part:
    instances: Mapping[str, InstanceRecovery] = field(default_factory=dict)


@dataclass(frozen=True)
class _Squeezed:
    text: str


# --------------------------------------------------------------------------- text


def to_text(record: object) -> str:
    """The JSON of a frozen record; equal records give equal text."""
    return plain_text(_CONVERTER.unstructure(record))


def plain_text(fields: Mapping[str, Any]) -> str:
    """The same of what is JSON already: looking through the status of ten thousand hosts for records costs a tenth of a second."""
    return json.dumps({"schema": WRITTEN, **fields}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def from_text(kind: type[T], key: str, text: str) -> T:
    """The record in a key's text; raises NewerSchema or CorruptEntry, naming the key."""
    found: T = _read(cast(Hashable, kind), key, text)
    return found


@lru_cache(maxsize=2048)  # a tick reads mostly what the one before it read; records are frozen, so they may be shared
def _read(kind: Any, key: str, text: str) -> Any:
    try:
        return _CONVERTER.structure(fields_of(key, text), kind)
    except BaseValidationError as error:
        raise corrupt(key, "; ".join(transform_error(error))) from error


def from_entry(kind: type[T], entry: Entry) -> T:
    return from_text(kind, entry.key, entry.value)


def fields_of(key: str, text: str) -> dict[str, Any]:
    """The plain JSON object in a key's text, of a schema that we know, and unpacked."""
    fields = _object(key, text)
    if PACKED not in fields:
        return fields
    try:
        inside = unsqueezed(fields[PACKED])
    except ValueError as error:
        raise corrupt(key, str(error)) from error
    return _object(key, inside)


def _object(key: str, text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise corrupt(key, str(error)) from error
    schema = fields.get("schema") if isinstance(fields, dict) else None
    if type(schema) is not int:
        raise corrupt(key, "no schema version in it")
    if schema > SCHEMA:
        raise NewerSchema(
            f"the journal key {key} has schema {schema} and this hanode knows only up to {SCHEMA}: a newer version is or was"
            f" running here; upgrade this node, it stands down until then"
        )
    assert isinstance(fields, dict)
    return fields


def corrupt(key: str, why: str) -> CorruptEntry:
    """What to raise of a key that cannot be read, with the remedy."""
    return CorruptEntry(
        f"the journal key {key} cannot be read ({why}); look at it, then restore it from a backup of the journal or delete it."
        f" A deleted recovery/HOST leaves that host as it is in Nova, for an operator to finish"
    )


def _exactly(value: Any, kind: Any) -> Any:
    """Never str(None) or bool("false"): a wrong type is corruption, not something to convert."""
    if issubclass(kind, Enum):  # our enums are strings, so they come here too
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in {tuple, frozenset}


def _list_of(kind: Any, converter: BaseConverter) -> Callable[[Any, Any], Any]:
    """How tuple[X, ...] and frozenset[X] are read: from a list, never from the letters of a string."""
    build: Any = get_origin(kind)
    item: Any = get_args(kind)[0]
    return lambda value, _: build(converter.structure(one, item) for one in _exactly(value, list))


def _build_converter() -> Converter:
    converter = Converter(unstruct_collection_overrides={frozenset: sorted})
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook_factory(_is_list, _list_of)
    # The one record of which there are thousands: what is as by default is left out, so a default is part of the format for ever.
    brief = make_dict_unstructure_fn(InstanceRecovery, converter, _cattrs_omit_if_default=True)
    converter.register_unstructure_hook(InstanceRecovery, brief)
    return converter


_CONVERTER = _build_converter()


# --------------------------------------------------------------------------- host recoveries, in one key or several


def recovery_key(host: str) -> str:
    return f"{RECOVERY}/{host}"


def texts_of(record: HostRecovery) -> Mapping[str, str]:
    """The keys that one open recovery takes, and their texts."""
    return _texts(RECOVERY, record.host, record, "")


def texts_of_closed(closed: Closed) -> Mapping[str, str]:
    """The keys that one entry of the history takes, and their texts."""
    return _texts(HISTORY, closed.record.incident, closed.record, closed.outcome)


def keys_of(home: str, name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Those of the known keys that belong to one record: its main key and its parts."""
    main, parts = f"{home}/{name}", f"{home}-part/{name}/"
    return tuple(sorted(key for key in known if key == main or key.startswith(parts)))


def records_in(entries: Sequence[Entry]) -> Mapping[str, HostRecovery]:
    """Every open recovery among the entries read under `recovery`, by host."""
    return {kept.record.host: kept.record for kept in _whole(RECOVERY, tuple(entries))}


def history_in(entries: Sequence[Entry]) -> tuple[Closed, ...]:
    """Every closed recovery among the entries read under `history`, oldest first."""
    return tuple(Closed(kept.record, kept.outcome) for kept in _whole(HISTORY, tuple(entries)))


def _texts(home: str, name: str, record: HostRecovery, outcome: str) -> Mapping[str, str]:
    table = sorted(record.instances.items())
    # A table of more than a few is in parts only: then a step of one instance leaves the main key small.
    size = max(TABLE_LIMIT, math.ceil(len(table) / PARTS_LIMIT))
    parts = [dict(table[at : at + size]) for at in range(0, len(table), size)] if len(table) > TABLE_LIMIT else []
    first = {} if parts else dict(table)
    main = _Kept(replace(record, instances=first, circumstances=None), len(parts), outcome, record.circumstances is not None)
    texts = {f"{home}-part/{name}/{number}": to_text(_Part(part)) for number, part in enumerate(parts, 1)}
    if record.circumstances is not None:
        texts[_circumstances_key(home, name)] = _circumstances_text(record.circumstances)
    return {f"{home}/{name}": to_text(main), **texts}


def _circumstances_key(home: str, name: str) -> str:
    return f"{home}-part/{name}/circumstances"


@lru_cache(maxsize=128)  # compared by identity: the same text is not made anew for each step of each instance
def _circumstances_text(circumstances: Circumstances) -> str:
    return to_text(_Squeezed(squeezed(to_text(circumstances))))


def _circumstances_in(main: Entry, name: str, home: str, by_key: Mapping[str, Entry]) -> Circumstances:
    key = _circumstances_key(home, name)
    if key not in by_key:
        raise corrupt(main.key, f"its part {key} is missing")
    return _unsqueezed(key, by_key[key].value)


@lru_cache(maxsize=128)
def _unsqueezed(key: str, text: str) -> Circumstances:
    try:
        return from_text(Circumstances, key, unsqueezed(from_text(_Squeezed, key, text).text))
    except ValueError as error:
        raise corrupt(key, str(error)) from error


@lru_cache(maxsize=8)  # most ticks read what the one before them read
def _whole(home: str, entries: tuple[Entry, ...]) -> tuple[_Kept, ...]:
    by_key = {entry.key: entry for entry in entries}
    mains = sorted((entry for entry in entries if entry.key.startswith(f"{home}/")), key=lambda entry: entry.revision)
    return tuple(_joined(home, entry, by_key) for entry in mains)


def _joined(home: str, main: Entry, by_key: Mapping[str, Entry]) -> _Kept:
    kept = from_entry(_Kept, main)
    name = main.key.removeprefix(f"{home}/")
    if kept.circumstances:
        kept = replace(kept, record=replace(kept.record, circumstances=_circumstances_in(main, name, home, by_key)))
    if not kept.parts:
        return kept
    table = dict(kept.record.instances)
    for number in range(1, kept.parts + 1):
        key = f"{home}-part/{name}/{number}"
        if key not in by_key:
            raise corrupt(main.key, f"its part {key} is missing")
        table |= from_entry(_Part, by_key[key]).instances
    return replace(kept, record=replace(kept.record, instances=table))
