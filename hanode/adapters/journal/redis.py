"""How is the journal kept in redis? For tests and one node only: redis acknowledges writes that a failover then loses."""

from __future__ import annotations

import json
from typing import Any

from redis.exceptions import RedisError, WatchError

from hanode.errors import Ambiguous, Unreachable
from hanode.ports import Entry, Transaction

_COUNTER = ""  # the field of the revision counter; no key is empty
_TRIES = 100


class RedisJournal:
    """One redis hash holds everything, so that one command reads it at one revision and one WATCH guards it.

    For tests and one node only. With several daemons or a sentinel it must be refused: a write that was acknowledged
    can be lost in a failover, and with it the epoch that keeps two leaders apart.
    """

    def __init__(self, client: Any, cluster_id: str) -> None:
        """`client`: redis-py, decoding responses, without retries of its own."""
        self._client = client
        self._hash = f"/hanode/{cluster_id}/"

    def read(self, prefix: str) -> tuple[Entry, ...]:
        try:
            fields = self._client.hgetall(self._hash)
        except RedisError as error:
            raise Unreachable(f"redis: {error}") from error
        return tuple(
            Entry(key, *json.loads(text)) for key, text in sorted(fields.items()) if key != _COUNTER and key.startswith(prefix)
        )

    def revisions(self, prefix: str) -> dict[str, int]:
        return {entry.key: entry.revision for entry in self.read(prefix)}  # a field holds both

    def commit(self, transaction: Transaction) -> bool:
        for _ in range(_TRIES):
            happened = self._try(transaction)
            if happened is not None:
                return happened
        raise Unreachable(f"redis: {_TRIES} times in a row another writer came first")

    def _try(self, transaction: Transaction) -> bool | None:
        """None: another writer changed something meanwhile; nothing happened and it may be tried again."""
        with self._client.pipeline(transaction=True) as pipeline:
            try:
                pipeline.watch(self._hash)
                fields = pipeline.hgetall(self._hash)
                if any(_revision(fields, key) != revision for key, revision in transaction.compares.items()):
                    return False
                pipeline.multi()
                self._queue(pipeline, transaction, int(fields.get(_COUNTER, 0)) + 1)
            except RedisError as error:  # only reads were sent so far
                raise Unreachable(f"redis: {error}") from error
            return _execute(pipeline)

    def _queue(self, pipeline: Any, transaction: Transaction, revision: int) -> None:
        pipeline.hset(self._hash, _COUNTER, revision)
        for key, value in sorted(transaction.puts.items()):
            pipeline.hset(self._hash, key, json.dumps([value, revision]))
        for key in sorted(transaction.deletes):
            pipeline.hdel(self._hash, key)


def _execute(pipeline: Any) -> bool | None:
    try:
        pipeline.execute()
    except WatchError as error:
        # redis-py raises the same class when the connection died after EXEC was sent. Only this text means that redis
        # itself refused; taken for the other, a commit that happened would be reported as one that did not.
        if str(error) == "Watched variable changed.":
            return None
        raise Ambiguous(f"redis: {error}") from error
    except RedisError as error:
        raise Ambiguous(f"redis: {error}") from error
    return True


def _revision(fields: dict[str, str], key: str) -> int:
    return int(json.loads(fields[key])[1]) if key in fields else 0
