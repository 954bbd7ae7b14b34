"""How long does a real etcd of three members take for the commits of a recovery, alone and while others write as well?

The transactions are those that the production engine has sent in a simulated recovery, sent again through the production adapter,
one after the other, as a leader does. Wall time: it depends on the machine and on what else it does.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hanode.adapters.etcd_client import Access
from hanode.adapters.journal import open_journal
from hanode.ports import Transaction
from hanode.sim.etcd import EtcdCluster

OTHERS = 2
THEIR_BYTES = 100_000


@dataclass(frozen=True)
class Latency:
    commits_s: tuple[float, ...]  # sorted
    read_s: tuple[float, ...]  # of all the recoveries, after each commit

    def of_commits(self, share: float) -> float:
        return self.commits_s[int(share * (len(self.commits_s) - 1))]

    @property
    def of_reads(self) -> float:
        return statistics.median(self.read_s)


def latencies(transactions: Sequence[Transaction]) -> tuple[Latency, Latency]:
    """Alone, and beside two others who write a hundred thousand bytes again and again."""
    with tempfile.TemporaryDirectory(prefix="hanode-bench-") as made, EtcdCluster(Path(made), 3) as etcd:
        alone = _replayed(etcd.url, "alone", transactions)
        over = threading.Event()
        with ExitStack() as stack:
            stack.callback(over.set)
            for number in range(OTHERS):
                other = threading.Thread(target=_write_on, args=(etcd.url, f"other{number}", over), daemon=True)
                other.start()
                stack.callback(other.join)
                stack.callback(over.set)
            return alone, _replayed(etcd.url, "beside", transactions)


def _replayed(url: str, cluster: str, transactions: Sequence[Transaction]) -> Latency:
    journal = open_journal(url, cluster, Access(timeout_s=30.0))
    commits_s, read_s = [], []
    for transaction in transactions:
        began_s = time.monotonic()
        journal.commit(Transaction({}, transaction.puts, transaction.deletes))  # what was compared is another journal's revision
        commits_s.append(time.monotonic() - began_s)
        began_s = time.monotonic()
        journal.read("recovery")
        read_s.append(time.monotonic() - began_s)
    return Latency(tuple(sorted(commits_s)), tuple(sorted(read_s)))


def _write_on(url: str, cluster: str, over: threading.Event) -> None:
    journal = open_journal(url, cluster, Access(timeout_s=30.0))
    while not over.is_set():
        journal.commit(Transaction({}, {"load": "x" * THEIR_BYTES}))
