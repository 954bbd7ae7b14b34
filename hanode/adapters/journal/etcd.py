"""How is the journal kept in etcd? Transactions that compare MOD revisions, and linearizable range reads. No watch."""

from __future__ import annotations

import base64
from typing import Any

from hanode.ports import Entry, Transaction


class EtcdJournal:
    """Keys under `/hanode/<cluster_id>/`. `client` is an etcd3gw client from `etcd_client.open_client`.

    A revision is etcd's mod_revision: one counter for the whole cluster, so it is never reused after a delete.
    """

    def __init__(self, client: Any, cluster_id: str) -> None:
        self._client = client
        self._root = f"/hanode/{cluster_id}/".encode()

    def read(self, prefix: str) -> tuple[Entry, ...]:
        return tuple(Entry(self._key(about), value.decode(), int(about["mod_revision"])) for value, about in self._range(prefix))

    def revisions(self, prefix: str) -> dict[str, int]:
        return {self._key(about): int(about["mod_revision"]) for _, about in self._range(prefix, keys_only=True)}

    def commit(self, transaction: Transaction) -> bool:
        answer = self._client.transaction(
            {
                "compare": [self._compare(key, revision) for key, revision in sorted(transaction.compares.items())],
                "success": [
                    *(self._put(key, value) for key, value in sorted(transaction.puts.items())),
                    *({"request_delete_range": {"key": self._name(key)}} for key in sorted(transaction.deletes)),
                ],
                "failure": [],
            }
        )
        return bool(answer.get("succeeded", False))  # the gateway leaves out a false

    def _range(self, prefix: str, keys_only: bool = False) -> list[tuple[bytes, dict[str, Any]]]:
        start = self._root + prefix.encode()
        found: list[tuple[bytes, dict[str, Any]]] = self._client.get(
            start, metadata=True, sort_order="ascend", sort_target="key", range_end=_after(start), keys_only=keys_only
        )
        return found

    def _key(self, about: dict[str, Any]) -> str:
        return str(about["key"].removeprefix(self._root).decode())

    def _name(self, key: str) -> str:
        return _base64(self._root + key.encode())

    def _put(self, key: str, value: str) -> dict[str, Any]:
        return {"request_put": {"key": self._name(key), "value": _base64(value.encode())}}

    def _compare(self, key: str, revision: int) -> dict[str, Any]:
        if revision == 0:
            return {"key": self._name(key), "target": "CREATE", "result": "EQUAL", "create_revision": 0}
        return {"key": self._name(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}


def _after(prefix: bytes) -> bytes:
    """The first key behind everything that starts with the prefix; UTF-8 has no byte 0xff, so adding one is enough."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
