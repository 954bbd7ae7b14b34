"""Does an operator learn by one command whether the failure of a host would end well, with host and cloud as they were before?"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from hanode.sim.stage import scrubbed
from tests.e2e.play import Play

HOST = "cn8"  # of eight hosts with six servers it is empty
WORDS = ("drill", HOST, "--yes", "--reason", "every quarter", "-f", "json")
LOOK = """\
import pathlib, sys
kept = pathlib.Path(__file__).with_name(sys.argv[2])
kept.write_text("written before") if sys.argv[1] == "before" else kept.read_text()
"""


@pytest.mark.story(members=0, servers=6)
def test_a_drill_switches_a_host_off_for_real_and_leaves_nothing_behind(play: Play) -> None:
    """Its canaries come back elsewhere, looked into by the operator's own program; whoever typed it may go away meanwhile."""
    play.until_ready()
    refused = play.cli(*WORDS)
    assert refused.returncode == 1 and re.search(r"there is no canary on cn8: set \S+ \[drill\] flavor and image", refused.stderr)
    look = play.stage.directory / "look.py"
    look.write_text(LOOK)
    conf = play.stage.conf_file("d1")
    conf.write_text(conf.read_text() + "[drill]\nflavor = small\nimage = tiny\n"
                    f"check_command = {sys.executable} {look} {{when}} {{server}}\n")
    assert "cn1 is not empty" in play.cli("drill", "cn1", "--yes", "--reason", "a typing error").stderr

    typed = subprocess.Popen([sys.executable, "-m", "hanode", *WORDS, "--config-file", str(conf)], env=scrubbed(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    play.until(lambda: not play.stage.state()["hosts"][HOST]["powered"], "the power being cut")
    typed.kill()
    typed.wait()
    assert any(f"{HOST} is rehearsed by" in sentence for sentence in play.told()["sentences"])
    ended = play.cli(*WORDS)
    assert ended.returncode == 0, ended.stderr

    told = {row["what"]: row for row in json.loads(ended.stdout)}
    assert {"off", "proof", "evacuate", "verify", "return", "release", "all of it"} < told.keys()
    assert [row["how"] for what, row in told.items() if what.startswith("canary hanode-canary-cn8-")] == ["is well on another host"] * 2
    assert play.offs() == [HOST]
    state = play.stage.state()
    assert (state["disk_conflicts"], state["data_losses"]) == ([], [])
    assert len(state["evacuations_accepted"]) == 2 and len(state["servers"]) == 6
    assert play.is_in_service(HOST)
    assert not any("is rehearsed" in sentence for sentence in play.told()["sentences"])
