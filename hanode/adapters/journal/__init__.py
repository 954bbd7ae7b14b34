"""Which journal does this URL mean? The one place that knows all of them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hanode.adapters.etcd_client import Access, Address, open_client
from hanode.adapters.journal.etcd import EtcdJournal
from hanode.adapters.journal.sqlite import SqliteJournal
from hanode.errors import ConfigError
from hanode.ports import Journal

REMEDY = "use etcd3+http://h1:2379,h2:2379,h3:2379 (or etcd3+https://), sqlite:///PATH, or redis://127.0.0.1:6379 for tests"


def open_journal(url: str, cluster_id: str, access: Access | None = None) -> Journal:
    """The journal of one cloud. Network journals are not contacted yet; a sqlite file is opened (or made) at once."""
    access = access or Access()
    if not cluster_id or "/" in cluster_id:
        raise ConfigError(f"[journal] cluster_id: {cluster_id!r} must be a name without a slash, the same on every node")
    scheme = urlsplit(url).scheme
    if scheme in {"etcd3+http", "etcd3+https"}:
        return EtcdJournal(open_client(Address.parse(url), access), cluster_id)
    if scheme == "sqlite":
        return SqliteJournal(sqlite_path(url), cluster_id, access.timeout_s)
    if scheme == "redis":
        return _open_redis(url, cluster_id, access.timeout_s)
    raise ConfigError(f"[journal] url: {url!r} names no journal that hanode knows; {REMEDY}")


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///var/lib/hanode/journal.db`."""
    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigError(f"[journal] url: {url!r} has no absolute path; use three slashes, as in sqlite:///var/lib/hanode/j.db")
    return Path(parts.path)


ONE_NODE = frozenset({"localhost", "127.0.0.1", "::1"})


def _open_redis(url: str, cluster_id: str, timeout_s: float) -> Journal:
    parts = urlsplit(url)
    if parts.hostname not in ONE_NODE or "sentinel" in parse_qs(parts.query):
        raise ConfigError(
            f"[journal] url: {url!r} is refused: redis can lose what it acknowledged (in a failover, behind a sentinel), and two"
            f" daemons would act at once. Only one on this very node is taken, for tests; {REMEDY}"
        )
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        from hanode.adapters.journal.redis import RedisJournal
    except ImportError as error:
        raise ConfigError("[journal] url: redis:// needs the Python package redis; pip install 'hanode[redis]'") from error
    # Its default retries would outlast the lease, and could send a commit twice.
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
    return RedisJournal(client, cluster_id)
