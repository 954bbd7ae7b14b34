"""How does what is written of ten thousand hosts fit into the journal? As it is while it is small, compressed when it is not.

etcd refuses a request of more than 1.5 MiB, and a status says much the same of each host. Small ones stay text, which a
person can read with `etcdctl get`.
"""

from __future__ import annotations

import json

from hanode.engine.squeeze import squeezed

PLAIN_LIMIT = 100_000
"""Characters; a status of some five hundred hosts, a roster of a thousand."""

PACKED = "packed"

PACKED_SCHEMA = 2
"""Whoever does not know how to unpack stands down, instead of reading an empty roster: nobody held, no device quarantined."""


def packed(text: str) -> str:
    """The text of a record, or a JSON object with the same inside when that is large."""
    return text if len(text) <= PLAIN_LIMIT else json.dumps({"schema": PACKED_SCHEMA, PACKED: squeezed(text)})
