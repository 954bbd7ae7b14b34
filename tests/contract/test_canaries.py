"""Does a drill delete what it made, and nothing else? Nova matches names by regular expressions, and anybody may choose a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hanode.adapters.canaries import Canaries, Kind
from hanode.errors import Refused
from tests.contract.scripted_cloud import COMPUTE, SERVERS, Reply, ScriptedCloud

TAG = "hanode-canary-h1"


@pytest.fixture
def scripted() -> Iterator[ScriptedCloud]:
    cloud = ScriptedCloud()
    yield cloud
    cloud.stop()


def row(instance_id: str, name: str, tag: str, **more: Any) -> dict[str, Any]:
    return {"id": instance_id, "name": name, "metadata": {"hanode:drill": tag}, "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "h1", **more}


def test_only_what_carries_both_marks_of_this_drill_is_one_of_its_canaries(scripted: ScriptedCloud) -> None:
    """A tenant's server with such a name, one of a host whose name begins alike, and one that only claims the mark are not."""
    rows = [
        row("i1", f"{TAG}-1", TAG),
        row("i2", f"{TAG}-2", TAG, status="ERROR", fault={"message": "No valid host"}, **{"OS-EXT-SRV-ATTR:host": None}),
        row("i3", f"my-{TAG}-1", TAG),
        row("i4", f"{TAG}0-1", f"{TAG}0"),
        {**row("i5", f"{TAG}-3", TAG), "metadata": {}},
    ]
    scripted.script("GET", SERVERS, Reply(200, {"servers": rows}))
    found = Canaries(scripted.credentials(), TAG).find()
    assert [(c.instance_id, c.host, c.status, c.fault) for c in found] == [("i1", "h1", "ACTIVE", ""), ("i2", "", "ERROR", "No valid host")]
    assert scripted.sent("GET", SERVERS)[0].query == {"all_tenants": "1", "name": TAG}


def test_a_canary_is_asked_for_on_the_host_and_still_by_the_scheduler(scripted: ScriptedCloud) -> None:
    """`host` of microversion 2.74, not a forced availability zone: where the host has no room, Nova says so."""
    scripted.script("POST", f"{COMPUTE}/servers", Reply(202, {"server": {"id": "i1"}}), Reply(403, {"forbidden": {"message": "no"}}))
    canaries = Canaries(scripted.credentials(), TAG)
    canaries.make("h1", 1, Kind("f", "m"))
    (sent,) = scripted.sent("POST", f"{COMPUTE}/servers")
    assert sent.microversion == "compute 2.74"
    assert sent.body == {"server": {"name": f"{TAG}-1", "flavorRef": "f", "imageRef": "m", "networks": "none",
                                    "metadata": {"hanode:drill": TAG}, "host": "h1"}}
    with pytest.raises(Refused, match="no"):
        canaries.make("h1", 2, Kind("f", "m", "n"))
    assert scripted.sent("POST", f"{COMPUTE}/servers")[1].body["server"]["networks"] == [{"uuid": "n"}]


def test_a_canary_that_is_gone_already_is_as_good_as_deleted(scripted: ScriptedCloud) -> None:
    """The answer to an earlier request may have been lost."""
    scripted.script("GET", SERVERS, Reply(200, {"servers": [row("i1", f"{TAG}-1", TAG)]}))
    path = f"{COMPUTE}/servers/i1"
    scripted.script("DELETE", path, Reply(204, text=""), Reply(404, {"itemNotFound": {"message": "gone"}}),
                    Reply(409, {"conflictingRequest": {"message": "locked"}}))
    canaries = Canaries(scripted.credentials(), TAG)
    (canary,) = canaries.find()
    canaries.delete(canary)
    canaries.delete(canary)
    with pytest.raises(Refused, match="locked"):
        canaries.delete(canary)
    assert len(scripted.sent("DELETE", path)) == 3
