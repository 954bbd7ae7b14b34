"""Can hundreds of hosts, and several devices of one host, be described in a few lines, and is every mistake in them found?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hanode.adapters.fencing.config import FencingConfig, load
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.fencing.secret import CREDENTIALS, Secret
from hanode.adapters.fencing.settings import AgentSettings, CommandSettings, IpmiSettings, RedfishSettings, Settings
from hanode.core.policy import FenceLevel, FencePlan
from hanode.errors import ConfigError, Refused
from tests.contract.bmcs import never
from tests.contract.programs import ScriptedAgent

Described = dict[str, object]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return written(tmp_path / "secret", "swordfish\n")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedAgent:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return ScriptedAgent(tmp_path)


def written(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def ipmi(secret: Path | str, **changes: object) -> Described:
    return {"driver": "ipmi", "address": "{host}-bmc", "username": "hanode", "password_file": str(secret)} | changes


def outlet(**changes: object) -> Described:
    options = {"ip": "pdu1", "plug": "{host}"} | changes
    return {"driver": "agent", "agent": "fence_fake", "outlet": True, "options": options}


def read(directory: Path, content: object) -> FencingConfig:
    return load(written(directory / "fencing.yaml", yaml.safe_dump(content)))


def read_host(directory: Path, host: object) -> FencingConfig:
    return read(directory, {"hosts": {"cn1": host}})


def first(config: FencingConfig, host: str) -> Settings:
    return config.of(host).levels[0][0]


# --------------------------------------------------------------------------- levels


def test_levels_are_kept_in_their_order_with_all_of_their_devices(tmp_path: Path, secret: Path, agent: ScriptedAgent) -> None:
    """First the BMC, twice; then both outlets; then a person."""
    config = read_host(tmp_path, {"levels": [
        ipmi(secret, tries=2),
        [outlet(ip="pdu1", plug=7), outlet(ip="pdu2", plug=7)],
        {"driver": "manual", "instruction": "pull both plugs of {host}"},
    ]})
    devices = config.hosts["cn1"]
    assert [len(level) for level in devices.levels] == [1, 2]
    assert [settings.device for settings in devices.all] == ["ipmi cn1-bmc port 623", "agent ip pdu1 plug 7", "agent ip pdu2 plug 7"]
    assert config.plans() == {"cn1": FencePlan((FenceLevel(tries=2), FenceLevel(outlets=True)), "pull both plugs of cn1")}


def test_a_single_device_is_one_level(tmp_path: Path, secret: Path) -> None:
    """The short form stays."""
    assert read_host(tmp_path, ipmi(secret)).plans() == {"cn1": FencePlan((FenceLevel(),))}


def test_a_host_that_is_switched_off_by_hand_has_no_level(tmp_path: Path) -> None:
    """It goes to a person at once, who finds there what to do."""
    config = read_host(tmp_path, {"driver": "manual", "instruction": "pull the plug in rack 7"})
    assert config.plans() == {"cn1": FencePlan((), "pull the plug in rack 7")}
    assert Devices(config).hosts() == frozenset()
    with pytest.raises(Refused, match="no power device at level 1"):
        Devices(config).power_off("cn1", never)


def test_a_level_that_holds_a_bmc_is_no_level_of_outlets(tmp_path: Path, secret: Path, agent: ScriptedAgent) -> None:
    """Its `on` may be the machine's own: it is heard as a sign of life."""
    assert read_host(tmp_path, {"levels": [[ipmi(secret), outlet()]]}).plans()["cn1"].levels == (FenceLevel(),)


@pytest.mark.parametrize(("levels", "message"), [
    ([], r"cn1\.levels: must be a list of at least one"),
    ("ipmi", r"cn1\.levels: must be a list of at least one, not text"),
    ([[]], r"cn1\.levels\.1: has no device"),
    ([{"driver": "ipmi"}], r"cn1\.levels\.1\.address: is missing"),
    ([[{"driver": "impi"}]], r"cn1\.levels\.1\.1\.driver: unknown driver 'impi'; did you mean 'ipmi'"),
    ([{"driver": "manual"}], r"cn1\.levels\.1\.instruction: is missing"),
    ([{"driver": "manual", "instruction": "x", "timeout_s": 5}], r"cn1\.levels\.1\.timeout_s: unknown key"),
    ([[{"driver": "manual", "instruction": "x"}]], r"cn1\.levels\.1\.1\.driver: manual is a level by itself"),
    ([{"driver": "manual", "instruction": "x"}, {"driver": "ipmi"}], r"cn1\.levels\.2: comes after driver manual"),
])
def test_each_mistake_in_levels_is_named(tmp_path: Path, levels: object, message: str) -> None:
    """With the number of the level and of the device in it."""
    with pytest.raises(ConfigError, match=rf"fencing\.yaml: hosts\.{message}"):
        read_host(tmp_path, {"levels": levels})


def test_one_device_twice_in_a_level_is_refused(tmp_path: Path, agent: ScriptedAgent) -> None:
    """A copied line: the second power supply would go on feeding the host, and the level would read off."""
    with pytest.raises(ConfigError, match=r"levels\.1\.2: is the same device .*ip pdu1 plug 7"):
        read_host(tmp_path, {"levels": [[outlet(plug=7), outlet(plug="7")]]})


def test_one_outlet_of_two_hosts_is_refused_under_any_name(tmp_path: Path, agent: ScriptedAgent) -> None:
    """`port` is the former name of `plug`: the same outlet, and the wrong host would die."""
    with pytest.raises(ConfigError, match=r"hosts\.cn2: has the same device as hosts\.cn1.*ip pdu1 plug 7"):
        read(tmp_path, {"hosts": {
            "cn1": outlet(plug=7),
            "cn2": {"driver": "agent", "agent": "fence_fake", "options": {"ipaddr": "PDU1", "port": 7}},
        }})


# --------------------------------------------------------------------------- templates


def test_a_template_describes_every_host_that_it_names(tmp_path: Path, secret: Path) -> None:
    """In every value, wherever it stands."""
    written(tmp_path / "cn1.secret", "one")
    written(tmp_path / "cn2.secret", "two")
    config = read(tmp_path, {"templates": {"rack1": {"hosts": ["cn1", "cn2"], **ipmi(tmp_path / "{host}.secret")}}})
    assert sorted(config.hosts) == ["cn1", "cn2"] == sorted(Devices(config).hosts())
    found = first(config, "cn2")
    assert isinstance(found, IpmiSettings)
    assert (found.host, found.address, found.secret.read()) == ("cn2", "cn2-bmc", "two")


def test_a_pattern_describes_hosts_that_are_not_there_yet(tmp_path: Path, secret: Path) -> None:
    """A new compute host is protected from its first day."""
    template = {"hosts": "compute-*", **ipmi(secret)}
    config = read(tmp_path, {"templates": {"all": template}, "hosts": {"compute-9": ipmi(secret, address="10.0.0.9")}})
    new, exception = first(config, "compute-17"), first(config, "compute-9")
    assert isinstance(new, IpmiSettings) and isinstance(exception, IpmiSettings)
    assert (new.address, exception.address) == ("compute-17-bmc", "10.0.0.9")
    assert set(config.plans()) == {"compute-9", "compute-*"}
    with pytest.raises(Refused, match="no power device"):
        config.of("storage-1")


def test_a_template_may_have_levels(tmp_path: Path, secret: Path, agent: ScriptedAgent) -> None:
    """Whole racks have the same wiring."""
    config = read(tmp_path, {"templates": {"rack1": {"hosts": "cn*", "levels": [ipmi(secret), [outlet(ip="a"), outlet(ip="b")]]}}})
    assert [settings.device for settings in config.of("cn5").all] == ["ipmi cn5-bmc port 623", "agent ip a plug cn5", "agent ip b plug cn5"]
    assert config.plans()["cn*"].levels == (FenceLevel(), FenceLevel(outlets=True))


def test_a_template_that_meets_another_hosts_device_is_refused(tmp_path: Path, secret: Path) -> None:
    """Seen only when the host appears: the exception was written for the wrong one."""
    config = read(tmp_path, {
        "templates": {"all": {"hosts": "cn*", **ipmi(secret)}}, "hosts": {"gpu1": ipmi(secret, address="cn3-bmc")},
    })
    assert first(config, "cn2").device == "ipmi cn2-bmc port 623"
    with pytest.raises(Refused, match="template all gives host cn3 the device of host gpu1"):
        Devices(config).power_off("cn3", never)


@pytest.mark.parametrize("host", ["cn/../../etc", "cn 1", "cn{host}"])
def test_only_a_plain_name_is_filled_in(tmp_path: Path, secret: Path, host: str) -> None:
    """The name comes from Nova, and goes into paths and arguments."""
    config = read(tmp_path, {"templates": {"all": {"hosts": "cn*", **ipmi(secret)}}})
    with pytest.raises(Refused, match="no name that can be filled into template all"):
        config.of(host)


def test_a_secret_of_a_pattern_is_looked_for_when_the_host_is_known(tmp_path: Path) -> None:
    """At the start nobody knows which hosts there will be; a wrong file is Refused with its name, as at any use."""
    config = read(tmp_path, {"templates": {"all": {"hosts": "cn*", **ipmi(tmp_path / "{host}.secret")}}})
    with pytest.raises(Refused, match=r"templates\.all\.password_file: .*cn4\.secret cannot be read"):
        Devices(config).power_off("cn4", never)
    written(tmp_path / "cn4.secret", "x", mode=0o644)
    with pytest.raises(Refused, match=r"chmod 600 .*cn4\.secret"):
        Devices(config).power_off("cn4", never)


@pytest.mark.parametrize(("changes", "message"), [
    ({"address": "10.0.0.1"}, r"templates\.all: all its hosts would have the same device \(ipmi 10\.0\.0\.1 port 623\); write \{host\}"),
    ({"adress": "x"}, r"templates\.all\.adress: unknown key; did you mean 'address'"),
    ({"hosts": ["cn1", "cn 2"]}, r"templates\.all\.hosts: 'cn 2' is neither the name of a host nor a pattern"),
    ({"hosts": []}, r"templates\.all\.hosts: must be a list of at least one"),
    ({"hosts": 7}, r"templates\.all\.hosts: must be text"),
    ({"password_file": "/nonexistent"}, r"templates\.all\.password_file: /nonexistent cannot be read"),
])
def test_each_mistake_in_a_template_is_named(tmp_path: Path, secret: Path, changes: Described, message: str) -> None:
    """Found at the start also where only a pattern is given."""
    with pytest.raises(ConfigError, match=rf"fencing\.yaml: {message}"):
        read(tmp_path, {"templates": {"all": {"hosts": "cn*", **ipmi(secret), **changes}}})


def test_a_host_in_a_template_and_by_itself_is_described_twice(tmp_path: Path, secret: Path) -> None:
    """A name is not weaker for standing in a list."""
    with pytest.raises(ConfigError, match=r"hosts\.cn1: is already described"):
        read(tmp_path, {"hosts": {"cn1": ipmi(secret)}, "templates": {"all": {"hosts": ["cn1"], **ipmi(secret)}}})


def test_a_template_without_hosts_is_refused(tmp_path: Path, secret: Path) -> None:
    """It would protect nobody."""
    with pytest.raises(ConfigError, match=r"templates\.all\.hosts: is missing"):
        read(tmp_path, {"templates": {"all": ipmi(secret)}})


# --------------------------------------------------------------------------- secrets


def test_several_secrets_are_kept_in_their_order(tmp_path: Path, secret: Path) -> None:
    """While one is being rotated."""
    other = written(tmp_path / "new", "trout")
    found = first(read_host(tmp_path, {**ipmi(secret), "password_file": [str(secret), str(other)]}), "cn1").secret
    assert found is not None
    assert [each.read() for each in found.each()] == ["swordfish", "trout"]


def test_each_of_several_secrets_must_be_private(tmp_path: Path, secret: Path) -> None:
    """The one that is used next year too."""
    other = written(tmp_path / "new", "trout", mode=0o640)
    with pytest.raises(ConfigError, match=rf"chmod 600 {other}"):
        read_host(tmp_path, {**ipmi(secret), "password_file": [str(secret), str(other)]})


def test_a_password_may_be_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directory is closed to others, and its files' modes are systemd's choice."""
    written(tmp_path / "bmc", "swordfish\n", mode=0o440)
    described = {key: value for key, value in ipmi("").items() if key != "password_file"} | {"password_credential": "bmc"}
    with pytest.raises(ConfigError, match=r"cn1\.password_credential: systemd gave this service no credentials; .*LoadCredential=bmc:"):
        read_host(tmp_path, described)
    monkeypatch.setenv(CREDENTIALS, str(tmp_path))
    found = first(read_host(tmp_path, described), "cn1").secret
    assert found is not None and found.read() == "swordfish"


def test_a_password_of_two_lines_is_refused_wherever_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second line would be an option of its own to a program that reads lines."""
    monkeypatch.setenv("BMC_PASSWORD", "x\naction=on")
    with pytest.raises(ConfigError, match="more than one line"):
        Secret(where="fencing.yaml: hosts.cn1.password_env", env="BMC_PASSWORD").read()


# --------------------------------------------------------------------------- agents


def test_every_key_of_an_agent_arrives(tmp_path: Path, secret: Path, agent: ScriptedAgent) -> None:
    """Numbers and truths as one writes them on a command line."""
    found = first(read_host(tmp_path, {
        "driver": "agent", "agent": "fence_fake", "password_file": str(secret), "password_option": "community", "timeout_s": 90,
        "outlet": True, "tries": 3, "options": {"ipaddr": "pdu1", "plug": 7, "ssl-insecure": True, "login_timeout": 2.5},
    }), "cn1")
    assert isinstance(found, AgentSettings)
    assert found.options == {"ip": "pdu1", "plug": "7", "ssl_insecure": "1", "login_timeout": "2.5"}
    assert (found.agent, found.password_option, found.timeout_s, found.outlet, found.tries) == (agent.program, "community", 90, True, 3)


@pytest.mark.parametrize(("changes", "message"), [
    ({"agent": "fence_fkae"}, r"agent: fence_fkae is not installed on this machine: install fence-agents"),
    ({"agent": "/bin/true"}, r"agent: '/bin/true' is no program of fence-agents"),
    ({"agent": "fence_kdump"}, r"agent: fence_kdump does not switch the power"),
    ({"agent": "fence_heuristics_ping"}, r"agent: fence_heuristics_ping does not switch the power"),
    ({"password_option": "pasword"}, r"password_option: fence_fake has no such option; did you mean 'password'\?"),
    ({"options": {"ip": "a", "plg": "1"}}, r"options\.plg: fence_fake has no such option; did you mean 'plug'\?"),
    ({"options": {"ip": "a"}}, r"options: fence_fake needs plug"),
    ({"options": {}}, r"options: fence_fake needs ip, plug"),
    ({"options": {"ip": "a", "plug": "1", "action": "off"}}, r"options\.action: must not be given: hanode gives it itself"),
    ({"options": {"ip": "a", "plug": "1", "method": "cycle"}}, r"options\.method: must not be given: only onoff is safe"),
    ({"options": {"ip": "a", "plug": "1", "verbose": True}}, r"options\.verbose: must not be given: .*password into the log"),
    ({"options": {"ip": "a", "plug": "1", "passwd": "x"}}, r"options\.passwd: a secret does not stand here; use password_file"),
    ({"options": {"ip": "a", "plug": "1", "community": "x"}}, r"options\.community: a secret.*password_option: community"),
    ({"options": {"ip": "a", "plug": "1", "port": "2"}}, r"options\.port: is another word for plug"),
    ({"options": {"ip": "a", "plug": "1\naction=on"}}, r"options\.plug: must be one line"),
    ({"options": {"ip": "a", "plug": ["1"]}}, r"options\.plug: must be text, not a list"),
    ({"login": "x"}, r"login: unknown key"),
])
def test_each_mistake_of_an_agent_is_named(tmp_path: Path, agent: ScriptedAgent, changes: Described, message: str) -> None:
    """Asked of the program itself: agents ignore what they do not know, and then do something else."""
    described = {"driver": "agent", "agent": "fence_fake", "options": {"ip": "a", "plug": "1"}} | changes
    with pytest.raises(ConfigError, match=rf"fencing\.yaml: hosts\.cn1\.{message}"):
        read_host(tmp_path, described)


def test_an_agent_may_have_a_secret_by_its_own_script(tmp_path: Path, agent: ScriptedAgent) -> None:
    """`password_script` names a program, and holds no secret."""
    found = first(read_host(tmp_path, outlet(password_script="/etc/hanode/ask")), "cn1")
    assert isinstance(found, AgentSettings) and found.secret is None


@pytest.mark.parametrize("spoilt", ["", "<resource-agent", "not xml"])
def test_an_agent_that_does_not_tell_its_options_is_refused(tmp_path: Path, agent: ScriptedAgent, spoilt: str) -> None:
    """Nothing of what was written for it could be checked."""
    agent.put("metadata", spoilt)
    with pytest.raises(ConfigError, match=r"fence_fake does not tell its options .*-o metadata"):
        read_host(tmp_path, outlet())


def test_the_redfish_agent_must_be_told_its_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without systems_uri it switches off the last machine that the BMC lists."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    fake = ScriptedAgent(tmp_path)
    fake.put("metadata", fake.get("metadata").replace('"plug" required="1"', '"plug"').replace('"port" required="1"', '"port"'))
    fake.program.rename(tmp_path / "fence_redfish")
    with pytest.raises(ConfigError, match="needs systems_uri"):
        read_host(tmp_path, {"driver": "agent", "agent": "fence_redfish", "options": {"ip": "a"}})


# --------------------------------------------------------------------------- commands


def described_command(directory: Path, *words: object, mode: int = 0o755) -> Described:
    program = written(directory / "fence-it", "#!/bin/sh\n", mode)
    return {"driver": "command", "command": [str(program), *words]}


def test_every_word_of_a_command_arrives(tmp_path: Path) -> None:
    """The host is filled in at the start, the action at each use."""
    found = first(read_host(tmp_path, described_command(tmp_path, "--host={host}", "{action}", 7)), "cn1")
    assert isinstance(found, CommandSettings)
    assert found.argv == (str(tmp_path / "fence-it"), "--host=cn1", "{action}", "7")


@pytest.mark.parametrize(("make", "message"), [
    (lambda d: described_command(d, "{host}"), r"command: must hold \{action\} somewhere"),
    (lambda d: described_command(d, "{action}", mode=0o644), r"command: .* is no program that can be started: .*chmod \+x"),
    (lambda d: described_command(d, "{action}", mode=0o775), r"command: .* can be changed by others.*chmod go-w"),
    (lambda _: {"driver": "command", "command": ["fence-it", "{action}"]}, r"command: fence-it must be the full path"),
    (lambda _: {"driver": "command", "command": "/bin/true {action}"}, r"command: must be a list"),
    (lambda _: {"driver": "command", "command": ["/bin/true", ["{action}"]]}, r"command\.1: must be text, not a list"),
])
def test_each_mistake_of_a_command_is_named(tmp_path: Path, make: Callable[[Path], Described], message: str) -> None:
    """Whoever can change the program can say that a host is off."""
    with pytest.raises(ConfigError, match=rf"fencing\.yaml: hosts\.cn1\.{message}"):
        read_host(tmp_path, make(tmp_path))


def test_a_command_without_the_host_in_it_serves_one_host(tmp_path: Path) -> None:
    """Two hosts with the very same command have the same device."""
    command = described_command(tmp_path, "{action}")
    with pytest.raises(ConfigError, match="same device"):
        read(tmp_path, {"hosts": {"cn1": command, "cn2": command}})


def test_redfish_may_log_in_once(tmp_path: Path, secret: Path) -> None:
    """Some BMCs allow no other way."""
    login = {"username": "x", "password_file": str(secret)}
    redfish = {"driver": "redfish", "url": "https://{host}-bmc", "system": "/redfish/v1/Systems/1", **login}
    found = first(read_host(tmp_path, {**redfish, "auth": "session"}), "cn1")
    assert isinstance(found, RedfishSettings) and found.session
    with pytest.raises(ConfigError, match=r"cn1\.auth: is 'token'; must be basic .* or session"):
        read_host(tmp_path, {**redfish, "auth": "token"})
