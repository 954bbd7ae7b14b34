"""What if the network fails between the leader alone and what it speaks to, while all others see everything?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.e2e.play import Play
from tests.e2e.proxy import Fate, Proxy
from tests.e2e.wired import Ways, wired

TTL_S = 5.0
STAGE = {
    "daemons": 0,
    "members": 3,
    "hosts": 12,
    "servers": 72,
    "settings": {
        "office": {"lease_ttl_s": TTL_S},
        # Two at a time, so that there is a middle: some are asked for, some are not.
        "evacuation": {"max_at_once": 2, "accept_lag_s": 5, "repost_settle_s": 15, "retry_s": 2},
        # Host after host is cut off here on purpose: no instance is to be suspected of it.
        "priority": {"repeat_window_s": 0},
    },
}
POST = b'"evacuate"'


@pytest.mark.story(**STAGE)
def test_a_leader_cut_from_etcd_alone_is_succeeded_and_writes_nothing_more(play: Play) -> None:
    """It cannot know what the others decide meanwhile. Reset connections tell it so; a silent network tells it nothing."""
    with wired(play) as ways:
        _loses_etcd(play, ways, "cn1", Proxy.cut)
        _loses_etcd(play, ways, "cn7", Proxy.freeze)


def _loses_etcd(play: Play, ways: Mapping[str, Ways], host: str, fail: Callable[[Proxy], None]) -> None:
    play.until_ready()
    before = play.cut_power(host)
    play.until_accepted(before)
    lonely, term = play.leader, play.term
    for way in ways[lonely].etcd:
        fail(way)
    said = len(play.log(lonely))
    play.until_succeeded(term)
    assert play.leader != lonely
    play.until_said(lonely, r"INFO +(standby|candidate)", said)
    play.until_told("Accepted: it is taken back as soon as", "host", "release", host, "--reason", "new cable")
    play.until_recovered(before)
    for way in ways[lonely].etcd:
        way.heal()
    play.judge(before)
    play.until(lambda: [play.leads(name) for name in ways].count(True) == 1, "exactly one leader")


@pytest.mark.story(**{**STAGE, "settings": {"office": {"lease_ttl_s": TTL_S, "hand_over_after_s": 5}, "priority": {"repeat_window_s": 0}}})
def test_a_leader_cut_from_nova_alone_hands_over_to_one_that_reads_it(play: Play) -> None:
    """Nobody is protected by a leader that sees nothing; a standby testifies that it can, and recovers what failed meanwhile."""
    with wired(play) as ways:
        _hands_over(play, ways, "cn1", Proxy.cut)
        _hands_over(play, ways, "cn7", Proxy.freeze)


def _hands_over(play: Play, ways: Mapping[str, Ways], host: str, fail: Callable[[Proxy], None]) -> None:
    play.until_ready()
    lonely, term = play.leader, play.term
    said = len(play.log(lonely))
    fail(ways[lonely].nova)
    before = play.cut_power(host)
    play.until_said(lonely, "hands its office over: Nova could not be read from here", said)
    play.until_succeeded(term)
    assert play.leader != lonely
    play.until_recovered(before)
    ways[lonely].nova.heal()
    play.until_told("Accepted: it is taken back as soon as", "host", "release", host, "--reason", "new cable")
    play.judge(before)


@pytest.mark.story(**STAGE)
def test_an_evacuation_is_accepted_once_wherever_the_leaders_way_to_nova_fails(play: Play) -> None:
    """Others may see Nova or not: whether a request arrived is known from Nova alone, and so waits until it can be asked again."""
    with wired(play) as ways:
        _loses_nova(play, ways, "cn1", b'"forced_down"', Fate.NOT_ANSWERED)
        _loses_nova(play, ways, "cn2", POST, Fate.NOT_HEARD)
        _loses_nova(play, ways, "cn7", POST, Fate.NOT_ANSWERED)
        _loses_nova(play, ways, "cn8", POST, Fate.LATE)
        _loses_nova(play, ways, "cn3", b'"unlock"', Fate.NOT_HEARD)


def _loses_nova(play: Play, ways: Mapping[str, Ways], host: str, request: bytes, fate: Fate) -> None:
    play.until_ready()
    all_ways = [its.nova for its in ways.values()]
    for way in all_ways:
        way.snare(request, fate)
    before = play.cut_power(host)
    play.until(lambda: any(way.is_sprung() for way in all_ways), f"the request {request!r}")
    for way in all_ways:
        if not way.is_sprung():  # whoever leads is cut off, and nobody else
            way.heal()
    # Whoever leads then: a leader that sees nothing keeps its office for a while, and a word waits for the first look.
    words = ("host", "release", host, "--reason", "new mainboard")
    play.until_told("Accepted|Refused by the leader|Not answered within", *words)
    play.until_passed(TTL_S)
    for way in all_ways:
        way.heal()
        way.slow(0.1)
    play.until_told("Accepted|Refused by the leader", *words)
    play.until_recovered(before)
    play.judge(before)
    for way in all_ways:
        way.heal()
