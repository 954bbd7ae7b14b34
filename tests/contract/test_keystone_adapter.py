"""Are we who the options say, on the cloud that they name, and does a mistake in them explain itself?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanode.adapters.keystone import Credentials
from hanode.adapters.openstack import OpenStackCloud
from hanode.core.model import Call
from hanode.errors import ConfigError, Refused, Unreachable
from tests.contract.scripted_cloud import ACTION, COMPUTE, TOKENS, Reply, ScriptedCloud, clouds_yaml, refusing_port


@pytest.fixture
def scripted() -> Iterator[ScriptedCloud]:
    cloud = ScriptedCloud()
    yield cloud
    cloud.stop()


@pytest.fixture
def cloud(scripted: ScriptedCloud) -> OpenStackCloud:
    return OpenStackCloud(scripted.credentials())


def test_nothing_in_the_environment_can_point_us_at_another_cloud(
        scripted: ScriptedCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A daemon started from an operator's shell must not obey that shell's openrc."""
    (tmp_path / "clouds.yaml").write_text("clouds: {other: {auth: {auth_url: 'http://192.0.2.1/', username: evil}}}")
    for name, value in {"OS_AUTH_URL": "http://192.0.2.1:5000", "OS_USERNAME": "evil", "OS_CLOUD": "other",
                        "OS_REGION_NAME": "elsewhere", "OS_COMPUTE_API_VERSION": "2.95", "OS_INTERFACE": "admin",
                        "OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml"), "OS_CACERT": "/nowhere",
                        "HTTP_PROXY": "http://192.0.2.1:3128", "http_proxy": "http://192.0.2.1:3128"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.chdir(tmp_path)  # a clouds.yaml of the working directory is one more that must not be found
    cloud = OpenStackCloud(scripted.credentials())
    scripted.script("POST", ACTION, Reply(200))
    cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert cloud.identity() == f"{scripted.url}/identity/v3 R1"
    (request,) = scripted.sent("POST", ACTION)
    assert request.microversion == "compute 2.79"
    assert scripted.sent("POST", TOKENS)[0].body["auth"]["identity"]["password"]["user"]["name"] == "hanode"


def test_a_named_cloud_is_read_from_the_named_file_only(scripted: ScriptedCloud, tmp_path: Path) -> None:
    """Its cache settings must not matter either: a cached list of services shows a dead host alive."""
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(clouds_yaml(scripted) + "cache: {class: dogpile.cache.memory, expiration_time: 3600}\n")
    cloud = OpenStackCloud(Credentials(clouds_file=str(clouds), cloud="prod"))
    scripted.script("GET", f"{COMPUTE}/servers/i1", Reply(404, {"itemNotFound": {"message": "gone"}}))
    assert [cloud.read_instance("i1"), cloud.read_instance("i1")] == [None, None]
    assert len(scripted.sent("GET", f"{COMPUTE}/servers/i1")) == 2
    with pytest.raises(ConfigError, match=r"\[keystone\]"):
        OpenStackCloud(Credentials(clouds_file=str(clouds), cloud="missing"))
    with pytest.raises(ConfigError, match="clouds_file"):
        OpenStackCloud(Credentials(clouds_file=str(tmp_path / "missing.yaml"), cloud="prod"))


def test_an_application_credential_needs_neither_user_nor_project(scripted: ScriptedCloud) -> None:
    """It is how a service should log in: it can be revoked alone."""
    cloud = OpenStackCloud(scripted.credentials(username="", password="", project="", application_credential_id="ac",
                                                application_credential_secret="s"))
    cloud.connect()
    assert scripted.sent("POST", TOKENS)[0].body["auth"]["identity"]["application_credential"] == {"id": "ac", "secret": "s"}


def test_a_wrong_password_is_explained_and_not_printed(scripted: ScriptedCloud) -> None:
    """The sentence is the first thing that a new operator sees."""
    scripted.script("POST", TOKENS, Reply(401, {"error": {"code": 401, "message": "The request requires authentication."}}))
    with pytest.raises(Refused, match=r"refused user 'hanode' of project 'service'.*\[keystone\]") as caught:
        OpenStackCloud(scripted.credentials(password="hunter2")).connect()
    assert "hunter2" not in f"{caught.value!r} {scripted.credentials(password='hunter2')!r}"


def test_a_keystone_that_does_not_answer_is_explained() -> None:
    """No traceback of five wrapped exceptions."""
    url = f"http://127.0.0.1:{refusing_port()}"
    with pytest.raises(Unreachable, match=rf"Keystone at {url}/v3 does not answer: .*refused.*\[keystone\]"):
        OpenStackCloud(Credentials(auth_url=url, username="u", password="p", project="s")).connect()


def test_a_wrong_region_is_explained(scripted: ScriptedCloud) -> None:
    """The catalog is the only place that knows."""
    with pytest.raises(Refused, match=r"no public endpoint of compute in region nowhere.*\[keystone\]"):
        OpenStackCloud(scripted.credentials(region="nowhere")).read_fleet()


def test_an_endpoint_without_version_is_looked_up(scripted: ScriptedCloud, cloud: OpenStackCloud) -> None:
    """Some catalogs carry the root of Nova only; posting there would be a 404."""
    token: dict[str, Any] = scripted.token()
    for endpoint in token["catalog"][0]["endpoints"]:
        endpoint["url"] = f"{scripted.url}/compute"
    scripted.script("POST", TOKENS, Reply(201, {"token": token}, {"X-Subject-Token": "t"}))
    version = {"id": "v2.1", "status": "CURRENT", "version": "2.100", "min_version": "2.1",
               "links": [{"rel": "self", "href": f"{scripted.url}{COMPUTE}/"}]}
    for path in ("/compute", "/compute/"):
        scripted.script("GET", path, Reply(300, {"versions": [version]}))
    scripted.script("POST", ACTION, Reply(200))
    cloud.evacuate("i1", "h2", Call.SCHEDULED)
    assert [r.microversion for r in scripted.sent("POST", ACTION)] == ["compute 2.79"]


def test_missing_options_are_named() -> None:
    """Before any network is touched."""
    with pytest.raises(ConfigError, match=r"\[keystone\] auth_url is empty"):
        OpenStackCloud(Credentials())
