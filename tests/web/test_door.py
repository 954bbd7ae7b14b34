"""Who may read: certificates, passwords, and what is refused before it is ever exposed."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from hanode.conf import build
from hanode.errors import ConfigError
from hanode.web.door import Door
from tests.web.conftest import Played, connect, told
from tests.web.locks import certificate, passwords


def test_only_the_right_password_is_let_in_and_health_needs_none(played: Played, tmp_path: Path) -> None:
    """Load balancers and systemd have no password; the names of instances are for those who have one."""
    played.publish(told())
    played.open(Door.of(password_file=passwords(tmp_path, noc="s3cr3t")))
    asked = {auth: played.get("/api/status", auth=auth).status_code
             for auth in (None, ("noc", "s3cr3t"), ("noc", "wrong"), ("other", "s3cr3t"), ("noc", ""), ("", ""), ("noc", "x" * 100))}
    assert [auth for auth, status in asked.items() if status == 200] == [("noc", "s3cr3t")]
    assert played.get("/api/status").headers["WWW-Authenticate"] == 'Basic realm="hanode"'
    for path in ("/", "/metrics", "/api/journal"):
        assert played.get(path).status_code == 401
    assert played.get("/healthz").status_code == played.get("/readyz").status_code == 200


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic bm9j", "Bearer s3cr3t", "Basic //////8=", "Basic \N{SNOWMAN}"])
def test_a_broken_header_is_nobody(tmp_path: Path, header: str) -> None:
    """Whatever is sent, the answer is no, not a crash."""
    assert Door.of(password_file=passwords(tmp_path, noc="s3cr3t")).admits(header) is False


def test_over_tls_with_a_client_certificate_only_its_owners_get_in(played: Played, tmp_path: Path) -> None:
    """For sites whose monitoring has certificates instead of passwords."""
    server, friend, stranger = (certificate(tmp_path, name) for name in ("server", "friend", "stranger"))
    played.publish(told())
    played.open(Door.of(*server, client_ca_file=friend[0]))
    assert played.get("/api/status", verify=server[0], cert=friend).status_code == 200
    for cert in (stranger, None):
        with pytest.raises(requests.ConnectionError):
            played.get("/healthz", verify=server[0], cert=cert)


def test_who_never_finishes_the_handshake_keeps_nobody_out(played: Played, tmp_path: Path) -> None:
    """The handshake is done in the connection's own thread."""
    server = certificate(tmp_path, "server")
    played.publish(told())
    played.open(Door.of(*server))
    with connect(played.url):
        assert played.get("/healthz", verify=server[0]).status_code == 200


def test_a_new_door_counts_from_the_next_connection_on(played: Played, tmp_path: Path) -> None:
    """SIGHUP after a rotation of passwords or certificates."""
    played.publish(told())
    played.open(Door.of(password_file=passwords(tmp_path, noc="old")))
    assert played.get("/api/status", auth=("noc", "old")).status_code == 200
    played.web.door = Door.of(password_file=passwords(tmp_path, noc="new"))
    assert played.get("/api/status", auth=("noc", "old")).status_code == 401
    assert played.get("/api/status", auth=("noc", "new")).status_code == 200


@pytest.mark.parametrize(("text", "word"), [
    ("noc:s3cr3t\n", "line 1 has no bcrypt hash"), ("", "names nobody"), ("noc:$apr1$abc$def\n", "htpasswd -nB"),
])
def test_a_password_file_that_would_let_nobody_or_anybody_in_is_refused(tmp_path: Path, text: str, word: str) -> None:
    """At start, with the remedy, instead of at three in the morning."""
    (tmp_path / "passwords").write_text(text)
    with pytest.raises(ConfigError, match=word):
        Door.of(password_file=str(tmp_path / "passwords"))


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A wrong path or a key of another certificate."""
    one, other = certificate(tmp_path, "one"), certificate(tmp_path, "other")
    for wrong in ((one[0], other[1]), (str(tmp_path / "none"), one[1])):
        with pytest.raises(ConfigError, match="cert_file"):
            Door.of(*wrong)
    with pytest.raises(ConfigError, match="client_ca_file"):
        Door.of(*one, client_ca_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="cannot read"):
        Door.of(password_file=str(tmp_path / "none"))


@pytest.mark.parametrize(("options", "word"), [
    ("address = 0.0.0.0", "web_public_read"),
    ("address = ::", "web_public_read"),
    ("address = 192.0.2.1\npassword_file = /p", "everybody on the way reads the password"),
    ("cert_file = /c", "belong together"),
    ("key_file = /k", "belong together"),
    ("client_ca_file = /ca", "needs cert_file"),
])
def test_what_would_expose_the_cloud_is_a_configuration_error(tmp_path: Path, options: str, word: str) -> None:
    """Names of hosts and instances are not for everybody who reaches the controllers."""
    (tmp_path / "hanode.conf").write_text(f"[web]\n{options}\n")
    with pytest.raises(ConfigError, match=word):
        build.load([str(tmp_path / "hanode.conf")])


@pytest.mark.parametrize("options", [
    "address = 127.0.0.1", "address = ::1", "address = localhost", "address = 0.0.0.0\nport = 0",
    "address = 0.0.0.0\nweb_public_read = true",
    "address = 0.0.0.0\ncert_file = /c\nkey_file = /k\npassword_file = /p",
    "address = 0.0.0.0\ncert_file = /c\nkey_file = /k\nclient_ca_file = /a",
])
def test_what_is_meant_and_guarded_is_accepted(tmp_path: Path, options: str) -> None:
    """Loopback, a word that says so, or a lock on the door."""
    (tmp_path / "hanode.conf").write_text(f"[web]\n{options}\n")
    assert build.load([str(tmp_path / "hanode.conf")]).get("web", "address")
