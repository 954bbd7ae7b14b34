"""How does a status of ten thousand hosts fit into the journal? As it is while it is small, compressed when it is not.

etcd refuses a request of more than 1.5 MiB, and a status says much the same of each host. Small ones stay text, which a
person can read with `etcdctl get`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hanode.engine.codec import SCHEMA, corrupt, fields_of, to_text
from hanode.engine.squeeze import squeezed, unsqueezed
from hanode.ports import Entry

PLAIN_LIMIT = 100_000
"""Characters; about seven hundred hosts."""

PACKED = "packed"


def status_text(status: Mapping[str, Any]) -> str:
    text = to_text(dict(status))
    if len(text) <= PLAIN_LIMIT:
        return text
    return json.dumps({"schema": SCHEMA, PACKED: squeezed(text)})


def status_in(entry: Entry) -> Mapping[str, Any]:
    """The status in a key; raises NewerSchema or CorruptEntry."""
    fields = fields_of(entry.key, entry.value)
    if PACKED not in fields:
        return fields
    try:
        text = unsqueezed(fields[PACKED])
    except ValueError as error:
        raise corrupt(entry.key, str(error)) from error
    return fields_of(entry.key, text)
