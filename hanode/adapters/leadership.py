"""Which of several nodes may try to lead? A lock of tooz, for liveness only: safety is the epoch in the journal."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import tooz
from etcd3gw.lease import Lease
from requests import Session
from tooz import coordination

from hanode.adapters.etcd_client import Access, Address, Failover, open_session
from hanode.adapters.journal import sqlite_path
from hanode.errors import Ambiguous, ConfigError, HanodeError, Unreachable
from hanode.ports import Leadership


def open_leadership(url: str, cluster_id: str, node: str, ttl_s: float, access: Access | None = None) -> Leadership:
    """The lock that belongs to a journal URL. Nothing is contacted yet.

    etcd3+http(s): a key with a lease of `ttl_s`. sqlite: a lock on a file beside the journal, freed by the kernel when
    its holder dies. Any other URL (file:///DIRECTORY, zookeeper://...) goes to tooz as it is.
    """
    access = access or Access()
    scheme = urlsplit(url).scheme
    if scheme in {"etcd3+http", "etcd3+https"}:
        return EtcdLeadership(Address.parse(url), cluster_id, node, ttl_s, access)
    if scheme == "sqlite":
        path = sqlite_path(url)
        return ToozLeadership(f"file://{path.with_name(path.name + '.lock')}", cluster_id, node)
    return ToozLeadership(url, cluster_id, node)


class ToozLeadership:
    """The lock of any tooz driver that says truly whether it is still held: file, zookeeper, redis.

    Redis only for tests and on one node; its driver retries by itself and can block for many seconds.
    """

    def __init__(self, url: str, cluster_id: str, node: str) -> None:
        self._name = f"hanode-{cluster_id}-leader".encode()
        self._lock: Any = None
        self._started = False
        try:
            self._coordinator: Any = coordination.get_coordinator(url, node.encode())
        except (tooz.ToozError, ValueError, RuntimeError) as error:  # an unknown driver is a RuntimeError of stevedore
            raise ConfigError(f"[journal] url: tooz knows no lock for {url!r}: {error}") from error

    def hold(self) -> bool:
        with _tooz_errors():
            self._start()
            if self._lock is not None and self._still_ours():
                return True
            self._lock = None
            lock = self._coordinator.get_lock(self._name)
            if lock.acquire(blocking=False):
                self._lock = lock
            return self._lock is not None

    def resign(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(tooz.ToozError):
                lock.release()

    def _start(self) -> None:
        if not self._started:
            self._coordinator.start()  # without the heart: a beat from another thread would keep a hung leader's lock
            self._started = True

    def _still_ours(self) -> bool:
        if hasattr(self._lock, "heartbeat"):  # the file lock has none; it needs none
            self._lock.heartbeat()
        return bool(self._lock.is_still_owner())


class EtcdLeadership:
    """tooz's etcd lock, asked in the only way that tells the truth: by reading its key back.

    The lock itself never notices that it was lost (`acquired` stays true for ever), spends a lease on each failed try,
    and blocks while its heart-beat thread is stopped. So: no heart, a new lock object per try, its lease refreshed by
    ourselves, and revoked when the try failed.
    """

    def __init__(self, address: Address, cluster_id: str, node: str, ttl_s: float, access: Access) -> None:
        # tooz knows one host only; the session below reaches them all, whichever this one is.
        url = f"etcd3+{address.scheme}://{address.endpoints[0]}?api_version=v3&lock_timeout={math.ceil(ttl_s)}"
        self._name = f"/hanode/{cluster_id}/leader".encode()
        self._timeout_s = access.timeout_s
        self._coordinator: Any = coordination.get_coordinator(url, node.encode())
        self._client: Any = self._coordinator.client
        session = open_session(address, access)
        self._client.session = session
        self._failover = _failover(session, address)
        self._lock: Any = None
        self._check_tooz()

    def hold(self) -> bool:
        with self._failover.within(self._timeout_s), _tooz_errors():
            if self._lock is None and not self._try():
                return False
            # Kept until the read below shows that it is not ours: after an Ambiguous it may well be.
            lease = self._lease_of(self._lock)
            if lease is not None and lease.refresh() > 0:
                return True
            self._drop()
            return False

    def resign(self) -> None:
        if self._lock is None:
            return
        with contextlib.suppress(HanodeError, tooz.ToozError), self._failover.within(self._timeout_s), _tooz_errors():
            lease = self._lease_of(self._lock)
            if lease is not None:
                lease.revoke()  # deletes the key with it, at once
        self._drop()

    def _try(self) -> bool:
        """Ask for a free lock; True when it is worth reading back."""
        lock = self._coordinator.get_lock(self._name)
        if self._client.get(lock._key):  # no lease is spent on a lock that another holds
            return False
        self._lock = lock
        try:
            return self._acquire(lock)
        except Ambiguous:
            return True
        except HanodeError:
            self._drop()
            raise

    def _acquire(self, lock: Any) -> bool:
        if lock.acquire(blocking=False):
            return True
        self._drop()
        with contextlib.suppress(HanodeError):  # it ends by itself after one TTL
            lock._lease.revoke()
        return False

    def _lease_of(self, lock: Any) -> Any:
        """The lease under the lock's key as etcd has it, or None when the key is not ours."""
        found = self._client.get(lock._key, metadata=True)
        if not found or found[0][0] != _raw(lock._uuid):
            return None
        return Lease(int(found[0][1].get("lease", 0)), client=self._client)

    def _drop(self) -> None:
        if self._lock is not None:
            self._coordinator._acquired_locks.discard(self._lock)
        self._lock = None

    def _check_tooz(self) -> None:
        """Every private name of tooz that is used above; better no start than a lock that silently does not work."""
        lock = self._coordinator.get_lock(self._name)
        missing = [name for name in ("_key", "_uuid") if not hasattr(lock, name)]
        missing += [name for name in ("_acquired_locks", "client") if not hasattr(self._coordinator, name)]
        if missing:
            raise ConfigError(
                f"this version of tooz has changed inside its etcd3gw driver (no {', '.join(missing)}); install a tooz that"
                f" this hanode was tested with, see the dependencies in pyproject.toml"
            )


def _failover(session: Session, address: Address) -> Failover:
    return cast(Failover, session.get_adapter(f"{address.scheme}://{address.endpoints[0]}"))


def _raw(encoded: str) -> bytes:
    return base64.b64decode(encoded)


@contextmanager
def _tooz_errors() -> Iterator[None]:
    """Our own errors pass; of tooz's only a failed connection promises that nothing happened."""
    try:
        yield
    except coordination.ToozConnectionError as error:
        raise Unreachable(f"lock: {error}") from error
    except tooz.ToozError as error:
        raise Ambiguous(f"lock: {error}") from error

