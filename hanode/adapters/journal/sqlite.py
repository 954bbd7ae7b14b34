"""How is the journal kept on one node? In a sqlite file that several processes may open, the daemon and the CLI."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hanode.errors import Ambiguous, ConfigError, HanodeError, Unreachable
from hanode.ports import Entry, Transaction

_TABLES = """
CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counter VALUES (1, 0);
"""


class SqliteJournal:
    """One connection behind a lock. A revision is the file's one counter, which is kept when a key is deleted.

    The file must be on a local disk: sqlite's locks and shared memory do not work over a network file system.
    """

    def __init__(self, path: Path, cluster_id: str, timeout_s: float = 3.0) -> None:
        self._path = path
        self._root = f"/hanode/{cluster_id}/"
        self._lock = threading.Lock()
        try:
            self._connection = _open(path, timeout_s)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"[journal] url: cannot use {path} as journal: {error}. The directory must exist and be writable by hanode;"
                f" a damaged file must be moved away (hanode then starts with an empty journal and says so)"
            ) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def read(self, prefix: str) -> tuple[Entry, ...]:
        rows = self._range("key, value, revision", prefix)
        return tuple(Entry(key.removeprefix(self._root), value, revision) for key, value, revision in rows)

    def revisions(self, prefix: str) -> dict[str, int]:
        return {key.removeprefix(self._root): revision for key, revision in self._range("key, revision", prefix)}

    def _range(self, columns: str, prefix: str) -> list[tuple[Any, ...]]:
        start = self._root + prefix
        after = start + "\U0010ffff"  # behind every key with the prefix: no key contains the last of all characters
        query = f"SELECT {columns} FROM entries WHERE key >= ? AND key < ? ORDER BY key"
        with self._lock, self._errors(Unreachable):
            return self._connection.execute(query, (start, after)).fetchall()

    def commit(self, transaction: Transaction) -> bool:
        with self._lock:
            try:
                return self._commit(transaction)
            finally:
                # Whatever broke off before COMMIT is taken back; after COMMIT there is nothing to take back.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.rollback()

    def _commit(self, transaction: Transaction) -> bool:
        with self._errors(Unreachable):
            self._connection.execute("BEGIN IMMEDIATE")  # the write lock, before the compares: nobody writes in between
            if not all(self._revision(key) == revision for key, revision in sorted(transaction.compares.items())):
                return False
            self._apply(transaction)
        with self._errors(Ambiguous):
            self._connection.execute("COMMIT")
        return True

    def _revision(self, key: str) -> int:
        row = self._connection.execute("SELECT revision FROM entries WHERE key = ?", (self._root + key,)).fetchone()
        return int(row[0]) if row else 0

    def _apply(self, transaction: Transaction) -> None:
        self._connection.execute("UPDATE counter SET revision = revision + 1")
        revision = self._connection.execute("SELECT revision FROM counter").fetchone()[0]
        self._connection.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)",
            [(self._root + key, value, revision) for key, value in transaction.puts.items()],
        )
        self._connection.executemany("DELETE FROM entries WHERE key = ?", [(self._root + key,) for key in transaction.deletes])

    @contextmanager
    def _errors(self, kind: type[HanodeError]) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise kind(f"journal {self._path}: {error}") from error


def _open(path: Path, timeout_s: float) -> sqlite3.Connection:
    # Made by ourselves, because sqlite would make it readable for all; its -wal and -shm files take over this mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection, timeout_s)
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged commit survives a power cut
        connection.executescript(_TABLES)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Two processes may open a new file at the same moment; for this one change sqlite does not wait by itself."""
    give_up_s, pause = time.monotonic() + timeout_s, threading.Event()
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_s:
                raise
        pause.wait(0.02)
