"""The stories of `tests/scenarios`: each is played and compared with its golden log, line by line.

`HANODE_WRITE_LOGS=1 pytest tests/sim/test_scenarios.py` writes the logs anew: read what changed, aloud, before you keep it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from hanode.errors import ConfigError
from hanode.sim.scenario import play, run
from tests.sim.plays import ROOT, STORIES, played

WRITE = os.environ.get("HANODE_WRITE_LOGS") == "1"
TWICE = ("host-panics", "instance-table", "leader-paused", "storm", "target-dies-mid-rebuild")


@pytest.mark.parametrize("name", STORIES)
def test_the_story_is_told_as_before_and_breaks_no_rule(name: str) -> None:
    """The log is the specification: a change of behaviour shows as a change of the story, and is read by a person."""
    result = played(name)
    expected = ROOT / name / "log.expect"
    if WRITE:
        expected.write_text(result.text, encoding="utf-8")
    assert result.text == expected.read_text(encoding="utf-8")
    assert result.violations == ()


@pytest.mark.parametrize("name", STORIES)
def test_each_scenario_says_why_it_exists(name: str) -> None:
    """A story without its moral teaches nothing: three to eight plain sentences."""
    sentences = re.findall(r"[.:?](?:\s|$)", (ROOT / name / "README").read_text(encoding="utf-8"))
    assert 3 <= len(sentences) <= 12


def test_the_same_scenario_gives_the_same_log_in_every_process() -> None:
    """D1: neither the order of a set nor anything left over from another run may show."""
    here = "".join(played(name).text for name in TWICE)  # by whichever process of this run has played it
    again = "".join(run(ROOT / name).text for name in TWICE)
    code = "import sys; from hanode.sim.scenario import run; print(''.join(run(p).text for p in sys.argv[1:]), end='')"
    other = subprocess.run(
        [sys.executable, "-c", code, *(str(ROOT / name) for name in TWICE)],
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT.parents[1])}, capture_output=True, text=True, check=True,
    )
    assert here == again == other.stdout


# --------------------------------------------------------------------------- the reader of scenarios


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hosts c1\n60 explode c1\nuntil 90", r"line 2 \(60 explode c1\): 'explode' is no event; known are: .*cut-mains"),
        ("hosts c1\n60 panic c9\nuntil 90", r"line 2 .*'c9' is no host; known are: c1"),
        ("servers web1 on c1\nuntil 90", r"line 1 .*'c1' is no host; known are: none yet"),
        ("hosts c1\n60 device c1 sulks\nuntil 90", r"'sulks' is no behaviour of a power device; known are: .*silent"),
        ("hosts c1\n60 cut-network\nuntil 90", r"line 2 .*wants HOST"),
        ("hosts c1\n60 panic c1 quickly\nuntil 90", r"does not know 'quickly' after HOST"),
        ("hosts c1\n60\nuntil 90", r"line 2 .*not what happens"),
        ("policy moode=act\nhosts c1\nuntil 90", r"line 1 .*no option 'moode'; it has .*mode"),
        ("policy fence_after_s=5\nhosts c1\nuntil 90", r"line 1 .*raise fence_after_s"),
        ("hosts c1\ntimings boot_s=5\nuntil 90", r"line 2 .*before the first hosts"),
        ("hosts c1", r"until"),
    ],
)
def test_a_word_that_is_not_known_is_an_error_with_its_line(text: str, said: str) -> None:
    """Whoever writes a scenario must not have to read the source to find a slip of the pen."""
    with pytest.raises(ConfigError, match=said):
        play(text)


def test_a_policy_can_be_tried_on_a_scenario() -> None:
    """`hanode simulate --policy mode=observe`: what would have happened with another policy?"""
    acts, observes = run(ROOT / "already-off"), run(ROOT / "already-off", {"mode": "observe"})
    assert "web1 VERIFIED" in acts.text
    assert "VERIFIED" not in observes.text
    assert "would be powered off now (mode observe)" in observes.text


def test_a_server_called_left_behind_must_be_left_behind() -> None:
    """Otherwise a scenario could excuse what does not need an excuse, and hide the next one that does."""
    result = play('hosts c1 c2 c3\nservers web1 on c1\nleft-behind web1 because "I think so"\nuntil 30')
    assert [violation.invariant for violation in result.violations] == ["scenario"]


def test_what_is_broken_on_purpose_must_really_be_broken() -> None:
    """Else a story could excuse an invariant for good, and hide the day on which it is broken for another reason."""
    result = play('hosts c1 c2 c3\nservers web1 on c1\non-purpose S1 because "I think so"\nuntil 30')
    assert [violation.invariant for violation in result.violations] == ["scenario"]


def test_a_server_that_will_be_created_can_be_named_by_later_lines() -> None:
    """And one whose creation was refused is answered as Nova answers, in the story."""
    events = "20 fail api\n21 create new1\n25 restore api\n26 owner stop new1\n27 create new2\n50 owner stop new2"
    result = play(f"hosts c1 c2 c3\n{events}\nuntil 90")
    assert "is refused: 404" in result.text
    assert "server new2: runs nowhere; Nova: stopped on c1" in result.text
