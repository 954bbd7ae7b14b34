"""What if a host that is only cut off from its disks were taken for a dead one? Mutants of S1, S2, S4 and S7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hanode.core import cutting, fence, home
from hanode.core.decisions import Verdict
from hanode.core.draft import Draft
from hanode.core.judge import Evidence
from hanode.core.records import HostRecovery
from tests.sim.mutants_base import always, caught, changed


@caught("S1", "storage-cut-mixed", "storage-cut-comes-back")
def restarts_whose_disks_are_elsewhere() -> Iterator[None]:
    """Restarts everybody of a host that is cut off from one store, although their volumes lie in another."""
    with changed("core.posting.why_not_whole", always("")):
        yield


@caught("S7", "storage-cut-comes-back")
def gives_the_disks_back_when_it_reports() -> Iterator[None]:
    """Lets a host write again as soon as it reports, with the guests on it that run elsewhere by then."""
    blocked = home._blocked

    def at_once(draft: Draft, record: HostRecovery) -> str | None:
        cutting.lift(draft, record, "it reports")
        return blocked(draft, draft.records[record.host])
    with changed("core.home._blocked", at_once):
        yield


@caught("S2", "storage-cut-lies")
def believes_what_the_order_said() -> Iterator[None]:
    """Takes a host for cut off because its store has accepted the order."""
    def accepted(_: Draft, record: HostRecovery) -> bool:
        return record.cut is not None and (record.cut.stood or record.cut_tries[-1:] == ("done",))
    with changed("core.cutting.stands", accepted):
        yield


@caught("S1", "storage-cut-runs-out")
def believes_a_cut_to_its_last_second() -> Iterator[None]:
    """Restarts by a cut that the store still reads, however long ago it was renewed for the last time."""
    with changed("core.cutting._may_run_out", always(False)):
        yield


@caught("S8", "storage-cut-kept-up")
def lets_a_cut_run_out() -> Iterator[None]:
    """Cuts a host off once, and leaves it to the store how long that lasts."""
    with changed("core.decide.keep_cuts", always(None)):
        yield


@caught("S4", "storage-cut-storm")
def cuts_off_while_the_brake_holds() -> Iterator[None]:
    """Asks the brake before it powers a host off, and not before it takes its disks away."""
    shoot = fence._shoot

    def unbraked(draft: Draft, record: HostRecovery, e: Evidence, verdict: Verdict) -> None:
        if draft.held(record.host, e.named):
            cutting.cut_off(draft, record, e, has_slot=True)
        else:
            shoot(draft, record, e, verdict)
    with changed("core.fence._shoot", unbraked):
        yield


@caught("S2", "storage-cut-forgotten")
def asks_the_store_once() -> Iterator[None]:
    """Restarts one after the other by what the store said at the beginning."""
    stands = cutting.stands

    def ever(draft: Draft, record: HostRecovery) -> bool:
        return stands(draft, record) or (record.cut is not None and record.cut.stood)
    with changed("core.cutting.stands", ever):
        yield


@caught("S4", "storage-cut-lives")
def cuts_off_by_a_former_verdict() -> Iterator[None]:
    """Goes on taking its disks away from a host that is heard again."""
    shoot: Any = fence._shoot
    with changed("core.fence._shows_life", always(False)), \
            changed("core.fence._shoot", lambda draft, record, e, _: shoot(draft, record, replace(e, probes={}), Verdict.FAILED)):
        yield
