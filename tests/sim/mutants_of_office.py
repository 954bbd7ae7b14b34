"""What if a daemon acted that is not the leader any more? Mutants of S5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hanode.core.model import Moment
from hanode.engine.ledger import Guard, Ledger
from hanode.engine.office import Office, _Term
from hanode.engine.testimony import Stand
from hanode.engine.workers import Workers
from hanode.ports import Transaction
from tests.sim.mutants_base import always, caught


@caught("S5", "leader-paused")
def believes_in_its_office_for_ever() -> Iterator[None]:
    """Neither renews its office nor guards its writes by the epoch."""
    def stay(office: Office, term: _Term, now: Moment) -> None:
        office._term = replace(term, deadline_s=now.s + 1000)
    with patch.object(Office, "_stay", stay), _unguarded():
        yield


@caught("S5", "late-write")
def writes_without_the_epoch() -> Iterator[None]:
    """Compares the records that it writes, and not the epoch."""
    with _unguarded():
        yield


@caught("S5", "leader-cut-from-lock")
def takes_office_without_waiting() -> Iterator[None]:
    """Takes the lock for a proof that nobody else is in office."""
    with patch.object(Office, "_wait_s", always(0.0)):
        yield


@caught("S5", "leader-paused-before-a-post")
def acts_without_a_proof_of_office() -> Iterator[None]:
    """Performs what was decided without looking at the epoch once more."""
    with patch.object(Workers, "_prove", always(None)):
        yield


def _unguarded() -> AbstractContextManager[Any]:
    def commit(ledger: Ledger, guard: Guard, batch: Transaction) -> None:
        ledger._journal.commit(batch)
        ledger._remember(batch)
    return patch.object(Ledger, "_commit_batch", commit)


@caught("S5", "witness-hears-it")
def a_witness_speaks_for_another() -> Iterator[None]:
    """A standby writes what it sees under a name that is not its own."""
    testify = Stand.testify
    with patch.object(Stand, "testify", lambda stand, node, said: testify(stand, f"{node}-too", said)):
        yield
