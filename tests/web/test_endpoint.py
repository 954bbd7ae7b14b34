"""The reading commands over the web port: a watch in another building needs no password of etcd."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from hanode.adapters.journal.web import Endpoint, WebJournal
from hanode.cli.main import main
from hanode.core.lifecycle import InstanceState
from hanode.errors import Refused
from hanode.ports import Transaction
from hanode.web.door import Door
from tests.web.conftest import Played, entry, recovery, told
from tests.web.locks import certificate, passwords

NOBODY = "/nowhere/hanode.conf"  # a machine without any configuration


def run(*words: str) -> tuple[int, str]:
    stdout = io.StringIO()
    try:
        code = main([*words, "--config-file", NOBODY], stdout=stdout)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, stdout.getvalue()


@pytest.mark.parametrize("words", ["status", "host list", "host show cn2", "incident list --all", "incident show cn2", "brake show",
                                   "explain cn2"])
def test_every_reading_command_works_from_afar(played: Played, tmp_path: Path, words: str) -> None:
    """What they say is what they say on a controller."""
    played.publish(told(), recovery(entry("web", InstanceState.UNDERWAY, target="cn1")))
    far = run(*words.split(), "-f", "json", "--endpoint", played.open())
    config = tmp_path / "hanode.conf"
    config.write_text(f"[journal]\nurl = sqlite://{tmp_path}/journal.db\n")
    near = io.StringIO()
    assert main([*words.split(), "-f", "json", "--config-file", str(config)], stdout=near) == far[0] == 0
    here, there = json.loads(near.getvalue()), json.loads(far[1])
    for seen in (here, there):
        if "sentences" in seen:
            del seen["sentences"]  # they count seconds
    assert there == here


def test_with_a_password_and_a_certificate_of_our_own(played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The password comes from a file: the command line is read by everybody on the machine."""
    server = certificate(tmp_path, "server")
    played.publish(told())
    url = played.open(Door.of(*server, password_file=passwords(tmp_path, noc="s3cr3t")))
    (tmp_path / "secret").write_text("s3cr3t\n")
    user = url.replace("https://", "https://noc@")
    trusting = ["--endpoint-ca-file", server[0]]
    assert run("status", "--endpoint", user, *trusting, "--endpoint-password-file", str(tmp_path / "secret"))[0] == 0
    assert run("status", "--endpoint", url, *trusting)[0] == 1
    assert "asks for a user and password" in capsys.readouterr().err
    assert run("status", "--endpoint", user, *trusting)[0] == 1
    assert "--endpoint-password-file is needed" in capsys.readouterr().err
    assert run("status", "--endpoint", url)[0] == 3, "a certificate that nobody vouches for"


def test_who_does_not_answer_is_not_all_is_well(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    """Monitoring must not read silence as health."""
    url = played.open()  # not connected to a journal yet
    assert run("status", "--check", "--endpoint", url)[0] == 3
    assert "not connected to its journal yet" in capsys.readouterr().err
    played.web.close()
    assert run("status", "--check", "--endpoint", url)[0] == 3
    assert run("status", "--endpoint", "controller1")[0] == 1
    assert "is not an address" in capsys.readouterr().err


def test_from_afar_nothing_can_be_said(played: Played) -> None:
    """An operator's word is given on a controller: those commands know no --endpoint."""
    played.publish(told(), recovery())
    url = played.open()
    assert run("host", "release", "cn2", "--reason", "x", "--endpoint", url)[0] == 2
    with pytest.raises(Refused):
        WebJournal(Endpoint(url)).commit(Transaction({}, {}))
