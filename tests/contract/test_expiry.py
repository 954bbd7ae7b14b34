"""Until when are certificates good, and until when does Keystone let us in?"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hanode.adapters.expiry import Expiry, moment, of_file, of_server, side_by_side
from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.sim.cloud import EmbeddedCloud, example_world
from hanode.sim.cloud.keystone import APPLICATION_CREDENTIAL, APPLICATION_SECRET
from tests.contract.etcd_cluster import Certificates, make_certificates
from tests.contract.journals import closed_port

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Good for one day from now."""
    return make_certificates(tmp_path_factory.mktemp("tls") / "files")


@pytest.fixture
def server(certificates: Certificates) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    made = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made.server_address[1]
    made.shutdown()
    made.server_close()
    thread.join()


def ends_tomorrow(found: Expiry) -> bool:
    return found.at is not None and abs(found.at - datetime.now(UTC) - DAY) < timedelta(hours=1)


def test_a_file_ends_when_the_first_of_its_chain_does(certificates: Certificates, tmp_path: Path) -> None:
    """An intermediate authority that has run out makes the certificate worthless."""
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificates.cert.read_bytes() + certificates.ca.read_bytes())
    assert ends_tomorrow(of_file("web", str(chain)))


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_file_that_holds_none_is_unknown(content: str, tmp_path: Path) -> None:
    """Whatever is wrong with it, this stops nothing."""
    file = tmp_path / "cert.pem"
    file.write_text(content)
    assert of_file("web", str(file)).unknown and of_file("web", str(tmp_path / "missing")).unknown


def test_a_server_shows_when_its_own_ends_to_whoever_does_not_trust_it(server: int) -> None:
    """The one that matters most has run out, and no client trusts it any more."""
    assert ends_tomorrow(of_server("etcd_server", "127.0.0.1", server, 30.0))


def test_a_server_that_is_away_is_unknown_and_keeps_no_other_waiting(server: int) -> None:
    """One power device of hundreds always is."""
    with closed_port() as endpoint:
        host, _, port = endpoint.rpartition(":")
        away: Callable[[], Expiry] = lambda: of_server("bmc_server", host, int(port), 30.0)  # noqa: E731 - as the other
        found = side_by_side([away, lambda: of_server("bmc_server", "127.0.0.1", server, 30.0)])
    assert "does not show its certificate" in found[0].unknown and ends_tomorrow(found[1])


def test_keystones_times_are_utc_whether_they_say_so_or_not() -> None:
    """Both are written, by one release or another."""
    expected = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    assert moment("2026-03-01T12:00:00.000000") == moment("2026-03-01T12:00:00Z") == expected
    assert moment(None) is None


# --------------------------------------------------------------------------- Keystone


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmbeddedCloud]:
    made = EmbeddedCloud(example_world(hosts=2, domains=1, servers=1))
    made.start()
    yield made
    made.stop()


def credentials(cloud: EmbeddedCloud, kind: str) -> Credentials:
    login: dict[str, Any] = dict(cloud.credentials)
    if kind == "application_credential":
        login = {"auth_url": cloud.urls.keystone, "application_credential_id": APPLICATION_CREDENTIAL,
                 "application_credential_secret": APPLICATION_SECRET, "region": login.get("region", "")}
    return Credentials(**login)


@pytest.mark.parametrize("kind", ["password", "application_credential"])
def test_a_login_says_of_itself_when_it_ends(cloud: EmbeddedCloud, kind: str) -> None:
    """With the daemon's own rights: everybody may read himself."""
    told = OpenStackCloud(credentials(cloud, kind))
    cloud._keystone.expires_at = None
    assert (told.read_expiry().what, told.read_expiry().at, told.read_expiry().unknown) == (kind, None, "")
    cloud._keystone.expires_at = "2027-01-01T00:00:00.000000"
    assert told.read_expiry().at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_refusal_is_unknown_and_no_error(cloud: EmbeddedCloud) -> None:
    """Some clouds forbid even that."""
    cloud._keystone.tells_expiry = False
    found = OpenStackCloud(credentials(cloud, "password")).read_expiry()
    assert found.at is None and "403" in found.unknown
