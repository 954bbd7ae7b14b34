"""What if etcd forgets in the middle of a recovery: a snapshot is put back, all is lost, or nothing can be written any more?"""

from __future__ import annotations

from pathlib import Path

import pytest

from hanode.sim.etcd import EtcdCluster
from tests.e2e import etcd_data
from tests.e2e.play import Play, Servers

TTL_S = 5.0
STAGE = {
    "members": 3,
    "servers": 48,
    "settings": {
        "office": {"lease_ttl_s": TTL_S},
        # Two at a time, so that there is a middle: some are asked for, some are not.
        "evacuation": {"max_at_once": 2, "accept_lag_s": 5, "repost_settle_s": 15, "retry_s": 2},
    },
}
RELEASE = ("host", "release", "cn1", "--reason", "new mainboard")
LOST = "carries our marker, but the journal knows nothing of it"


def _etcd(play: Play) -> EtcdCluster:
    assert play.stage.etcd is not None
    return play.stage.etcd


def _snapshot(play: Play) -> Path:
    return etcd_data.take_snapshot(_etcd(play), play.stage.directory / "snapshot.db")


def _until_more_accepted(play: Play, before: Servers) -> None:
    known = play.accepted(before)
    play.until(lambda: play.accepted(before) > known, "one more evacuation")
    assert play.accepted(before) < len(before), "still in the middle"


@pytest.mark.story(**STAGE)
def test_a_journal_put_back_within_the_lease_posts_nothing_twice(play: Play) -> None:
    """The restored epoch is the sitting leader's own, to the last revision: only the lost renewals show that the journal went back."""
    play.until_ready()
    before = play.cut_power("cn1")
    play.until_accepted(before)
    snapshot = _snapshot(play)
    _until_more_accepted(play, before)
    etcd_data.restore(_etcd(play), snapshot)
    play.until_recovered(before)
    play.judge(before)


@pytest.mark.story(**STAGE)
def test_a_journal_put_back_to_the_middle_of_the_recovery_posts_nothing_twice(play: Play) -> None:
    """It says that nobody asked for instances that were asked for since; the next leader sees in Nova that somebody did."""
    play.until_ready()
    play.stage.control("fault", call="lock", answer="SLOW", times=100, delay_s=2.0)  # so that the middle lasts
    before, leader = play.cut_power("cn1"), play.leader
    play.until_accepted(before)
    snapshot = _snapshot(play)
    _until_more_accepted(play, before)
    etcd_data.stop(_etcd(play))
    play.until_said(leader, "the office ran out before it could be renewed")
    etcd_data.restore(_etcd(play), snapshot)
    play.until_recovered(before)
    play.judge(before)


@pytest.mark.story(**STAGE)
def test_a_journal_put_back_to_before_the_failure_leaves_the_rest_to_a_person(play: Play) -> None:
    """Nova shows our marks, the journal nothing: who knows what was under way? A person's word, then it is judged anew."""
    play.until_ready()
    snapshot = _snapshot(play)
    before = play.cut_power("cn1")
    play.until_accepted(before)
    etcd_data.restore(_etcd(play), snapshot)
    play.until(lambda: any(f"cn1: {LOST}" in play.log(name) for name in play.stage.daemons), "the alarm")
    began = play.now
    play.until_passed(2 * TTL_S)
    assert play.writes(began) == []
    play.until_told("Accepted: it is judged by its own evidence", "host", "evacuate", "cn1", "--reason", "it is dead, I looked")
    play.until_recovered(before)
    play.judge(before)


@pytest.mark.story(**STAGE)
def test_a_journal_that_was_wiped_leaves_the_marked_host_to_a_person_and_protects_all_others(play: Play) -> None:
    """An empty etcd is a new installation, except that Nova shows our marks."""
    play.until_ready()
    first = play.cut_power("cn1")
    play.until_recovered(first)
    etcd_data.wipe(_etcd(play))
    play.until(lambda: any(f"cn1: {LOST}" in play.log(name) for name in play.stage.daemons), "the alarm")
    play.until(lambda: play.host("cn2").get("verdict") == "HEALTHY" and not play.status()["holds"], "a leader that holds nothing back")
    second = play.cut_power("cn2")
    play.until_recovered(second)
    play.judge(second)
    play.stage.control("power_on", host="cn1")
    play.until_told("Accepted: it carries our marker without a record", *RELEASE)
    play.until(lambda: play.is_in_service("cn1"), "the host being in service")
    play.judge(first)


@pytest.mark.story(**STAGE)
def test_an_etcd_without_space_stops_everything_until_there_is_room(play: Play) -> None:
    """It can be read and not be written: an office that cannot be renewed ends, and a recovery waits for the next one."""
    play.until_ready()
    before, leader = play.cut_power("cn1"), play.leader
    play.until_accepted(before)
    said = len(play.log(leader))
    etcd_data.fill(_etcd(play))
    play.until_said(leader, "database space exceeded", said)
    play.until_passed(TTL_S)
    began = play.now
    play.until_passed(TTL_S)
    assert play.writes(began) == []
    play.until_told("nobody leads now|database space exceeded", *RELEASE)
    assert play.told()["sentences"], "what the last leader knew can still be read"
    etcd_data.make_room(_etcd(play))
    play.until_recovered(before)
    play.judge(before)
    play.until_told("Accepted: it is taken back as soon as", *RELEASE)
