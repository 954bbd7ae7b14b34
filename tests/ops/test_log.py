"""The log: one line for each thing, as text and as JSON, whatever others wrote into it; no secret even at DEBUG."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hanode.conf import build
from hanode.core.decisions import Level, Note
from hanode.daemon import set_up_log
from hanode.engine.narrate import LogNarrator
from hanode.errors import ConfigError
from tests.core.cli_stage import Terminal

HOSTILE = "web\\n2026-01-01 00:00:00 ERROR ALARM compute1: is proven dead\\x1b[2J\\u202e"
SAY = """
import logging, sys
from hanode.conf import build
from hanode.core.decisions import Level, Note
from hanode.daemon import set_up_log
from hanode.engine.narrate import LogNarrator
set_up_log(build.load([sys.argv[1]]))
LogNarrator().note(Note(Level.ALARM, "instance-stuck", "compute7", "{text} STUCK", "compute7-1", "i-1"))
logging.getLogger("openstack").warning("answered %s", "{text}")
"""


def said(tmp_path: Path, options: str) -> list[str]:
    """What a process with these options writes to stdout."""
    config = tmp_path / "hanode.conf"
    config.write_text(f"[DEFAULT]\n{options}\n")
    done = subprocess.run([sys.executable, "-c", SAY.replace("{text}", HOSTILE), str(config)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_name_with_a_line_break_writes_no_line_of_ours(tmp_path: Path) -> None:
    """Otherwise a tenant writes our alarms; people and scrapers of logs would believe them."""
    lines = said(tmp_path, "")
    assert len(lines) == 2
    assert "compute7: web\\n2026-01-01" in lines[0] and lines[0].endswith("STUCK [compute7-1]")
    assert not [line for line in lines if "\x1b" in line or "\u202e" in line]


def test_as_json_each_line_is_an_object(tmp_path: Path) -> None:
    """For those who ship their logs; oslo.log's own formatter."""
    first, second = map(json.loads, said(tmp_path, "use_json = true"))
    assert first["levelname"] == "ERROR" and first["message"].startswith("ALARM compute7: web")
    assert second["name"] == "openstack" and "\n" not in second["message"]


def test_journald_without_its_module_is_a_clear_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """oslo.log's native handler needs python-systemd; stdout reaches journald without."""
    monkeypatch.setattr("oslo_log.handlers.journal", None)
    config = tmp_path / "hanode.conf"
    config.write_text("[DEFAULT]\nuse_journal = true\n")
    handlers = list(logging.getLogger().handlers)
    try:
        with pytest.raises(ConfigError, match=r"use_journal.*passes on to journald"):
            set_up_log(build.load([str(config)]))
    finally:
        logging.getLogger().handlers[:] = handlers


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With exit code 2, and not a traceback in a loop of restarts."""
    config = tmp_path / "hanode.conf"
    config.write_text(f"[DEFAULT]\nlog_file = {tmp_path}/none/hanode.log\n")
    command = [sys.executable, "-m", "hanode", "run", "--config-file", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{config}: [DEFAULT] log_file" in done.stderr and "Traceback" not in done.stderr


SECRETS = {"keystone": "K3yst0ne-s3cr3t", "webhook": "w3bh00k-s3cr3t", "token": "T0K3N-s3cr3t", "bmc": "bmc-s3cr3t-0001"}


def test_no_command_shows_a_secret_even_at_debug(configured: Callable[..., Terminal], tmp_path: Path) -> None:
    """Outputs are pasted into tickets. Right and wrong secrets, in files and inline."""
    files = {name: tmp_path / f"{name}.secret" for name in SECRETS}
    for name, file in files.items():
        file.write_text(f"https://192.0.2.1/{SECRETS[name]}\n" if name == "token" else f"{SECRETS[name]}\n")
        file.chmod(0o600)
    terminal = configured(DEFAULT__debug="true", keystone__password=SECRETS["keystone"],
                          notifications__webhook_url_file=str(files["token"]),
                          notifications__webhook_secret_file=str(files["webhook"]), notifications__timeout_s="0.5")
    fencing = tmp_path / "fencing.yaml"
    fencing.write_text(fencing.read_text().replace("password: ", f"password: {SECRETS['bmc']}"))
    shown = ""
    for line in ("config check -f json", "config show --effective", "fence check", "notify test", "config propose", "status"):
        done = subprocess.run([sys.executable, "-m", "hanode", *line.split(), "--config-file", str(terminal.config), "--debug"],
                              capture_output=True, text=True, check=False)
        shown += done.stdout + done.stderr
    assert "refused user" in shown and "webhook: " in shown, "each secret was used"
    assert not [name for name, secret in SECRETS.items() if secret in shown]


def test_a_note_is_the_same_in_the_log_and_in_the_story(caplog: pytest.LogCaptureFixture) -> None:
    """What is read in production is what the scenarios show."""
    LogNarrator().note(Note(Level.ALARM, "failed", "compute7", "is taken for failed", "compute7-1"))
    assert caplog.messages == ["ALARM compute7: is taken for failed [compute7-1]"]
