"""Is every mistake in fencing.yaml found when it is read, with file, key and remedy?"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hanode.adapters.fencing import stores
from hanode.adapters.fencing.config import FencingConfig, load
from hanode.adapters.fencing.drivers import DRIVERS
from hanode.adapters.fencing.metadata import find
from hanode.adapters.fencing.secret import Secret
from hanode.adapters.fencing.settings import IpmiSettings, RedfishSettings, Settings
from hanode.errors import ConfigError

SAMPLE = Path(__file__).parents[2] / "etc/hanode/fencing.yaml.sample"
PAGE = Path(__file__).parents[2] / "docs/fencing.md"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("swordfish\n")
    file.chmod(0o600)
    return file


def ipmi(secret: Path, **changes: object) -> dict[str, object]:
    return {"driver": "ipmi", "address": "10.0.0.11", "username": "hanode", "password_file": str(secret)} | changes


def redfish(secret: Path, **changes: object) -> dict[str, object]:
    return {"driver": "redfish", "url": "https://10.0.0.12", "system": "/redfish/v1/Systems/1", "username": "hanode",
            "password_file": str(secret)} | changes


def without(host: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in host.items() if name != key}


def read(directory: Path, text: str) -> FencingConfig:
    file = directory / "fencing.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return load(file)


def read_host(directory: Path, host: object) -> FencingConfig:
    return read(directory, yaml.safe_dump({"hosts": {"cn1": host}}))


def only_device(config: FencingConfig, host: str = "cn1") -> Settings:
    ((settings,),) = config.hosts[host].levels
    return settings


def secret_of(config: FencingConfig) -> Secret:
    secret = only_device(config).secret
    assert secret is not None
    return secret


# --------------------------------------------------------------------------- what is right


def test_every_key_arrives(tmp_path: Path, secret: Path) -> None:
    """Both drivers, everything written out."""
    uuid = "4C4C4544-0042-3510-8052-B4C04F4D4732"
    config = read(tmp_path, yaml.safe_dump({"hosts": {
        "cn1": ipmi(secret, port=6230, cipher=3, privilege="ADMINISTRATOR", uuid=uuid, timeout_s=15),
        "cn2": redfish(secret, ca_file=str(secret), uuid=uuid, serial="ABC123", timeout_s=7.5),
    }}))
    cn1, cn2 = only_device(config, "cn1"), only_device(config, "cn2")
    assert isinstance(cn1, IpmiSettings)
    assert isinstance(cn2, RedfishSettings)
    assert (cn1.address, cn1.port, cn1.cipher, cn1.privilege, cn1.timeout_s) == ("10.0.0.11", 6230, 3, "ADMINISTRATOR", 15)
    assert (cn2.url, cn2.system, cn2.serial, cn2.timeout_s) == ("https://10.0.0.12", "/redfish/v1/Systems/1", "ABC123", 7.5)
    assert cn1.uuid == cn2.uuid == uuid.lower()
    assert (cn2.ca_file, cn2.verify, cn1.secret.read()) == (secret, True, "swordfish")
    assert config.warnings == ()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "hosts:\n", "hosts: {}\n"])
def test_an_empty_file_has_no_devices(tmp_path: Path, text: str) -> None:
    """A first installation watches before it may fence."""
    assert read(tmp_path, text).hosts == {}


def test_the_files_of_the_directory_are_merged(tmp_path: Path, secret: Path) -> None:
    """One file per rack or per host, as a deployment tool writes them; a directory that is missing is an empty one."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "rack2.yaml").write_text(yaml.safe_dump({"hosts": {"cn2": redfish(secret)}}))
    (tmp_path / "d" / ".rack3.yaml").write_text("an editor's copy: [")
    read(tmp_path, yaml.safe_dump({"hosts": {"cn1": ipmi(secret)}}))
    assert sorted(load(tmp_path / "fencing.yaml", tmp_path / "d").hosts) == ["cn1", "cn2"]
    assert sorted(load(tmp_path / "fencing.yaml", tmp_path / "none").hosts) == ["cn1"]


def test_hosts_can_share_keys_by_a_merge(tmp_path: Path, secret: Path) -> None:
    """Hundreds of hosts differ in nothing but the address."""
    config = read(tmp_path, f"""
hosts:
  cn1: &like
    driver: ipmi
    address: 10.0.0.11
    username: hanode
    password_file: {secret}
  cn2: &too
    <<: *like
    address: 10.0.0.12
  cn3:
    <<: *too
    address: 10.0.0.13
""")
    assert [getattr(only_device(config, host), "address", "") for host in ("cn1", "cn2", "cn3")] == ["10.0.0.11", "10.0.0.12", "10.0.0.13"]


def test_the_sample_is_valid(tmp_path: Path, secret: Path) -> None:
    """What an operator copies must load, also with every commented key taken in."""
    text = SAMPLE.read_text().replace("/etc/hanode/secrets/compute1", str(secret))
    for path in ("/etc/hanode/secrets/compute2", "/etc/hanode/secrets/bmc", "/etc/hanode/bmc-ca.pem"):
        text = text.replace(path, str(secret))
    assert len(read(tmp_path, text).hosts) == 4
    for key in ("port", "cipher", "privilege", "uuid", "timeout_s", "tries", "auth"):
        text = text.replace(f"# {key}:", f"{key}:")
    assert len(read(tmp_path, text).hosts) == 4


@pytest.mark.skipif(find("fence_apc_snmp") is None, reason="not installed: fence-agents (Debian)")
def test_the_longer_examples_are_valid_too(tmp_path: Path, secret: Path) -> None:
    """Those that the sample only shows, and every one of the page that explains them."""
    sample = re.sub(r"(?m)^(  )?# (?=( |templates:|storage:| *compute5))", r"\1", SAMPLE.read_text().split("  # A second level", 1)[1])
    begun = "hosts:\n" + sample.split("\n", 1)[1].replace("# Many hosts", "\n# Many hosts")
    pages = [begun, *re.findall(r"(?s)```yaml\n(.*?)```", PAGE.read_text())]
    assert len(pages) == 11
    program = tmp_path / "switch-host"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for page in pages:
        text = re.sub(r"/etc/hanode/secrets/\w+", str(secret), page).replace("/usr/local/sbin/switch-host", str(program))
        text = text.replace("/etc/ceph/ceph.conf", str(secret)).replace("blocklist\n", f"blocklist\n    program: {program}\n")
        found = read(tmp_path, text)
        assert len(found.plans()) + len(found.stores.plans()) >= 1, page


def test_an_example_of_every_driver_is_shown() -> None:
    """What is not written down is not used."""
    assert {*DRIVERS, *stores.DRIVERS, "manual"} == set(re.findall(r"driver: (\w+)", PAGE.read_text()))


# --------------------------------------------------------------------------- secrets


def test_a_password_is_in_no_representation(tmp_path: Path, secret: Path) -> None:
    """Settings end up in logs and tracebacks."""
    config = read_host(tmp_path, without(ipmi(secret, password="swordfish"), "password_file"))
    assert secret_of(config).read() == "swordfish"
    assert "swordfish" not in repr(config)


def test_a_password_may_come_from_the_environment(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a secret store of a container platform hands it over."""
    monkeypatch.setenv("BMC_PASSWORD", "swordfish")
    config = read_host(tmp_path, without(ipmi(secret, password_env="BMC_PASSWORD"), "password_file"))
    assert secret_of(config).read() == "swordfish"
    monkeypatch.delenv("BMC_PASSWORD")
    with pytest.raises(ConfigError, match=r"cn1\.password_env: .* set the environment variable BMC_PASSWORD"):
        secret_of(config).read()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_file_open_to_others_is_refused(tmp_path: Path, secret: Path, mode: int) -> None:
    """Who reads it can switch off the cloud."""
    secret.chmod(mode)
    with pytest.raises(ConfigError, match=rf"cn1\.password_file: .*chmod 600 {secret}"):
        read_host(tmp_path, ipmi(secret))


def test_a_password_in_an_open_yaml_file_is_refused(tmp_path: Path, secret: Path) -> None:
    """The same rule, for the file that holds it."""
    file = tmp_path / "open.yaml"
    file.write_text(yaml.safe_dump({"hosts": {"cn1": without(ipmi(secret, password="swordfish"), "password_file")}}))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=rf"cn1\.password: .*chmod 600 {file}"):
        load(file)


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n"])
def test_a_secret_file_holds_one_line(tmp_path: Path, secret: Path, content: str) -> None:
    """Anything else was not meant."""
    secret.write_text(content)
    with pytest.raises(ConfigError, match="one line"):
        read_host(tmp_path, ipmi(secret))


def test_a_missing_secret_file_is_found_at_the_start(tmp_path: Path) -> None:
    """And not in the night in which it is needed."""
    with pytest.raises(ConfigError, match=r"cn1\.password_file: .*No such file"):
        read_host(tmp_path, ipmi(tmp_path / "none"))


def test_exactly_one_source_of_the_password(tmp_path: Path, secret: Path) -> None:
    """With two of them, a rotation changes the wrong one."""
    for host in (without(ipmi(secret), "password_file"), ipmi(secret, password_env="NAME")):
        with pytest.raises(ConfigError, match="exactly one of password_file, password_env, password_credential and password"):
            read_host(tmp_path, host)


# --------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(("changes", "message"), [
    ({"adress": "10.0.0.1"}, r"cn1\.adress: unknown key; did you mean 'address'\?"),
    ({"driver": "impi"}, r"cn1\.driver: unknown driver 'impi'; did you mean 'ipmi'\?"),
    ({"driver": "wol"}, r"cn1\.driver: unknown driver 'wol'; known are agent, command, ipmi, ironic, manual, redfish"),
    ({"system": "/redfish/v1/Systems/1"}, r"cn1\.system: unknown key"),
    ({"cipher": 0}, r"cn1\.cipher: .*CVE-2013-4782.*use 17 or 3"),
    ({"cipher": 8}, r"cn1\.cipher: is 8; use 17"),
    ({"cipher": "17"}, r"cn1\.cipher: must be a number, not text"),
    ({"port": 0}, r"cn1\.port: is 0; must be from 1 to 65535"),
    ({"port": 62.3}, r"cn1\.port: is 62\.3; must be a whole number"),
    ({"port": True}, r"cn1\.port: must be a number, not true or false"),
    ({"timeout_s": 1}, r"cn1\.timeout_s: is 1; must be from 3 to 120"),
    ({"timeout_s": None}, r"cn1\.timeout_s: must be a number, not nothing"),
    ({"username": 17}, r"cn1\.username: must be text, not a number; put it in quotes"),
    ({"address": " "}, r"cn1\.address: is empty"),
    ({"privilege": "operator"}, r"cn1\.privilege: is 'operator'; must be OPERATOR"),
    ({"uuid": "4c4c"}, r"cn1\.uuid: '4c4c' is not a UUID"),
])
def test_each_mistake_of_an_ipmi_host_is_named(tmp_path: Path, secret: Path, changes: dict[str, object], message: str) -> None:
    """File, key and remedy, so that nobody has to read the source."""
    with pytest.raises(ConfigError, match=rf"{tmp_path}/fencing\.yaml: hosts\.{message}"):
        read_host(tmp_path, ipmi(secret, **changes))


@pytest.mark.parametrize(("changes", "message"), [
    ({"url": "10.0.0.12"}, r"cn1\.url: must be https://ADDRESS"),
    ({"url": "https://10.0.0.12/redfish/v1"}, r"cn1\.url: .*the path belongs into 'system'"),
    ({"url": "https://root:calvin@10.0.0.12"}, r"cn1\.url: must not hold a login"),
    ({"url": "https://[::1"}, r"cn1\.url: must be https://ADDRESS"),
    ({"url": "https://10.0.0.12:99999"}, r"cn1\.url: must be https://ADDRESS"),
    ({"system": "Systems/1"}, r"cn1\.system: must be the path"),
    ({"system": "/redfish/v1/Systems/../Systems/2"}, r"cn1\.system: must be the path"),
    ({"verify": "no"}, r"cn1\.verify: must be true or false, not text"),
    ({"ca_file": "/nonexistent"}, r"cn1\.ca_file: /nonexistent is not a file"),
    ({"ca_file": "/etc/passwd", "verify": False}, r"cn1\.ca_file: has no effect"),
    ({"port": 443}, r"cn1\.port: unknown key"),
])
def test_each_mistake_of_a_redfish_host_is_named(tmp_path: Path, secret: Path, changes: dict[str, object], message: str) -> None:
    """As for IPMI."""
    with pytest.raises(ConfigError, match=rf"{tmp_path}/fencing\.yaml: hosts\.{message}"):
        read_host(tmp_path, redfish(secret, **changes))


@pytest.mark.parametrize("key", ["driver", "url", "system", "username"])
def test_a_missing_key_is_named(tmp_path: Path, secret: Path, key: str) -> None:
    """`system` too: a device that picks one by itself powers off the wrong machine."""
    with pytest.raises(ConfigError, match=rf"hosts\.cn1\.{key}: is missing"):
        read_host(tmp_path, without(redfish(secret), key))


@pytest.mark.parametrize(("text", "message"), [
    ("hosts:\n  cn1: [\n", r"fencing\.yaml: line 3: "),
    ("hosts:\n  cn1: {}\n  cn1: {}\n", r"fencing\.yaml: line 3: 'cn1' is written twice"),
    ("hosts:\n  cn1:\n    driver: ipmi\n    driver: redfish\n", r"line 4: 'driver' is written twice"),
    ("hots: {}\n", r"hots: unknown key; did you mean 'hosts'\?"),
    ("- cn1\n", "must be a mapping that begins with 'hosts:'"),
    ("hosts: [cn1]\n", "hosts: must be a mapping, not a list"),
    ("hosts:\n  cn1: ipmi\n", r"hosts\.cn1: must be a mapping of keys and values, not text"),
    ("hosts:\n  17: {}\n", r"hosts\.17: .*put it in quotes"),
    ("hosts: !!python/object/apply:os.getcwd []\n", r"line 1: could not determine a constructor"),
])
def test_each_mistake_of_form_is_named(tmp_path: Path, text: str, message: str) -> None:
    """Plain YAML would keep the last of two equal keys, and say nothing."""
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_no_empty_one(tmp_path: Path) -> None:
    """A wrong path would otherwise look like a cloud without power devices."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read .*create it or correct the path"):
        load(tmp_path / "none.yaml")


def test_a_host_described_twice_names_both_files(tmp_path: Path, secret: Path) -> None:
    """One of the two is out of date, and nobody but the operator knows which."""
    (tmp_path / "d").mkdir()
    other = tmp_path / "d" / "rack2.yaml"
    other.write_text(yaml.safe_dump({"hosts": {"cn1": redfish(secret)}}))
    read_host(tmp_path, ipmi(secret))
    with pytest.raises(ConfigError, match=rf"{other}: hosts\.cn1: is already described in {tmp_path}/fencing\.yaml"):
        load(tmp_path / "fencing.yaml", tmp_path / "d")


@pytest.mark.parametrize("make", [ipmi, redfish])
def test_two_hosts_on_one_device_are_refused(tmp_path: Path, secret: Path, make: Callable[[Path], dict[str, object]]) -> None:
    """A copied line, and the wrong host dies."""
    with pytest.raises(ConfigError, match=r"hosts\.cn2: has the same device as hosts\.cn1"):
        read(tmp_path, yaml.safe_dump({"hosts": {"cn1": make(secret), "cn2": make(secret)}}))


def test_a_device_is_recognised_by_its_default_port(tmp_path: Path, secret: Path) -> None:
    """Written out or not, it is the same one."""
    with pytest.raises(ConfigError, match="same device"):
        read(tmp_path, yaml.safe_dump({"hosts": {"cn1": redfish(secret), "cn2": redfish(secret, url="https://10.0.0.12:443/")}}))


def test_several_systems_behind_one_bmc_are_several_devices(tmp_path: Path, secret: Path) -> None:
    """Blades share an enclosure's manager; ports tell simulated BMCs apart."""
    config = read(tmp_path, yaml.safe_dump({"hosts": {
        "cn1": redfish(secret), "cn2": redfish(secret, system="/redfish/v1/Systems/2"),
        "cn3": ipmi(secret), "cn4": ipmi(secret, port=624),
    }}))
    assert len(config.hosts) == 4


@pytest.mark.parametrize(("changes", "message"), [({"verify": False}, "verify"), ({"url": "http://10.0.0.12"}, "use https")])
def test_a_connection_that_proves_nothing_is_warned_about(
        tmp_path: Path, secret: Path, changes: dict[str, object], message: str) -> None:
    """Allowed, because many BMCs can not do better; never unnoticed."""
    warning, = read_host(tmp_path, redfish(secret, **changes)).warnings
    assert message in warning


def test_a_file_with_another_ending_is_warned_about(tmp_path: Path) -> None:
    """Its hosts would have no device, and nobody would know why."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "rack2.yml").write_text("hosts: {}\n")
    read(tmp_path, "")
    warning, = load(tmp_path / "fencing.yaml", tmp_path / "d").warnings
    assert "rack2.yml: is not read" in warning
