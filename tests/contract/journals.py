"""Every kind of journal that the contract is checked against, and a server that behaves badly."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import fakeredis

from hanode.adapters.etcd_client import Access
from hanode.adapters.journal import open_journal
from hanode.adapters.journal.redis import RedisJournal
from hanode.ports import Entry, Journal, Transaction
from hanode.sim.journal import MemoryJournal, Space

Opener = Callable[[], Journal]
"""Opens one more access to the same journal, as another process would."""

CLUSTER_ID = "test"
PATIENT = Access(timeout_s=30.0)
"""On a loaded machine nothing may fail for being slow."""

CREATE = Transaction({"key": 0}, {"key": "value"})


def put(journal: Journal, **values: str) -> None:
    assert journal.commit(Transaction({}, values))


def entry(journal: Journal, key: str) -> Entry | None:
    return next((found for found in journal.read(key) if found.key == key), None)


def revision(journal: Journal, key: str) -> int:
    found = entry(journal, key)
    return found.revision if found else 0


def memory() -> Opener:
    space = Space()
    return lambda: MemoryJournal(space)


def sqlite(directory: Path) -> Opener:
    return lambda: open_journal(f"sqlite://{directory / 'journal.db'}", CLUSTER_ID, PATIENT)


def redis() -> Opener:
    server = fakeredis.FakeServer()
    return lambda: RedisJournal(fakeredis.FakeRedis(server=server, decode_responses=True), CLUSTER_ID)


def etcd(url: str, cluster_id: str) -> Opener:
    return lambda: open_journal(url, cluster_id, PATIENT)


class RudeServer:
    """Takes whole HTTP requests and treats them badly: "silence", "reset", "garbage", or a status with etcd's JSON."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.requests = 0
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> RudeServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                connection.settimeout(30)
                _read_request(connection)
                self.requests += 1
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if self.manner == "silence":
            return
        if self.manner == "reset":
            # Zero seconds of lingering: close sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.manner == "garbage":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n<html>")
        else:
            body = b'{"error":"etcdserver: request timed out","message":"etcdserver: request timed out","code":14}'
            head = f"HTTP/1.1 {self.manner} Bad\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
        connection.close()


def _read_request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += _received(connection)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the client went away")
    return data


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An endpoint that nobody listens on, and that nobody can take meanwhile: bound, but not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"
