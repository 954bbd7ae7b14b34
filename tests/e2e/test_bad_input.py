"""What does a person read who wrote something wrong, or started hanode before the things that it needs?

Each line names the file, the key and the remedy. What waiting can heal is waited for; what it cannot heal ends with 2.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hanode.sim.etcd import free_ports, wait_until
from hanode.sim.stage import Process, Settings, ini, over
from tests.e2e.conftest import Opener
from tests.e2e.play import LIMIT_S, Play, hanode

LOGIN: Settings = {
    "keystone": {"auth_url": "http://127.0.0.1:9", "username": "hanode", "password": "s3cr3t"},
    "fencing": {"config_file": ""},
    "web": {"port": 0},
}
DEVICE = "{driver: redfish, url: 'https://192.0.2.1', system: /redfish/v1/Systems/1, username: u, password: s3cr3t}"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A configuration file with these settings over ones that are right."""

    def write_one(**groups: Mapping[str, object]) -> Path:
        conf = tmp_path / "hanode.conf"
        conf.touch(mode=0o600)
        right = over(LOGIN, {"journal": {"url": f"sqlite://{tmp_path}/journal.db"}})
        conf.write_text(ini(over(right, groups)))
        return conf

    return write_one


def refusal(conf: Path) -> str:
    """The one line with which the daemon ends; exit code 2 tells systemd not to try again."""
    ended = hanode("run", "--config-file", str(conf))
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "s3cr3t" not in ended.stderr + ended.stdout
    return ended.stderr.strip()


# --------------------------------------------------------------------------- what no waiting heals


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    """The first start of all; defaults would watch no cloud."""
    said = refusal(tmp_path / "hanode.conf")
    assert said == (
        f"hanode: {tmp_path}/hanode.conf: cannot be read: No such file or directory; name another with --config-file, "
        "or begin with a copy of hanode.conf.sample"
    )


def test_a_mistyped_option_is_refused_with_the_right_one(write: Write) -> None:
    """oslo.config ignores what it does not know; the default would be in force and nobody would know."""
    conf = write(brake={"percentt": 30})
    assert refusal(conf) == f"hanode: {conf}: [brake] percentt is not an option; did you mean percent?"


def test_a_mistyped_group_is_refused_with_the_right_one(write: Write) -> None:
    """A whole group of limits would be lost otherwise."""
    conf = write(fencin={"attempts": 1})
    assert refusal(conf) == f"hanode: {conf}: [fencin] is not a group of hanode; did you mean fencing?"


def test_an_unknown_key_in_the_fencing_file_is_refused_with_the_right_one(write: Write, tmp_path: Path) -> None:
    """Found at the start, not in the night in which the device is needed."""
    file = tmp_path / "fencing.yaml"
    file.touch(mode=0o600)
    file.write_text("hosts:\n  compute1: " + DEVICE.replace("username", "usrname") + "\n")
    said = refusal(write(fencing={"config_file": file}))
    assert said == f"hanode: {file}: hosts.compute1.usrname: unknown key; did you mean 'username'?"


def test_a_fencing_file_with_passwords_for_everybody_is_refused(write: Write, tmp_path: Path) -> None:
    """Who reads it can power off the whole cloud."""
    file = tmp_path / "fencing.yaml"
    file.write_text(f"hosts:\n  compute1: {DEVICE}\n")
    file.chmod(0o644)
    said = refusal(write(fencing={"config_file": file}))
    assert said == f"hanode: {file}: hosts.compute1.password: {file} can be used by others (mode 0644): chmod 600 {file}"


def test_a_journal_in_a_directory_that_does_not_exist_is_refused(write: Write) -> None:
    """A directory made by ourselves would be a new, empty journal beside the one that was meant."""
    conf = write(journal={"url": "sqlite:///nowhere/hanode/journal.db"})
    said = refusal(conf)
    assert said.startswith(f"hanode: {conf}: [journal] url: cannot use /nowhere/hanode/journal.db as journal: ")
    assert "The directory must exist and be writable by hanode" in said


@pytest.mark.parametrize("url", ["redis://redis.example.org:6379", "redis://127.0.0.1:26379?sentinel=mymaster"])
def test_a_redis_that_can_lose_writes_is_refused(write: Write, url: str) -> None:
    """A failover of redis forgets acknowledged writes, and with them who leads."""
    conf = write(journal={"url": url})
    said = refusal(conf)
    assert said.startswith(f"hanode: {conf}: [journal] url: '{url}' is refused: redis can lose what it acknowledged")
    assert "use etcd3+http://h1:2379,h2:2379,h3:2379" in said


# --------------------------------------------------------------------------- what is waited for


@pytest.fixture(scope="module")
def cloud(opened: Opener) -> Play:
    """An embedded cloud without any daemon."""
    return opened(daemons=0, members=0, hosts=2, servers=2)


@pytest.fixture
def run(cloud: Play) -> Iterator[Callable[..., Process]]:
    """Starts daemons on that cloud, each with settings of its own; they end with the test."""
    started: list[Process] = []

    def run_one(name: str, **groups: Mapping[str, object]) -> Process:
        daemon = cloud.stage.daemon(name, groups)
        started.append(daemon)
        daemon.start()
        return daemon

    yield run_one
    for daemon in started:
        daemon.close()


def line(daemon: Process, words: str) -> str:
    """The first line of its log with these words."""

    def found() -> list[str]:
        return [line for line in daemon.log.read_text().splitlines() if words in line]

    wait_until(lambda: bool(found()) or not daemon.runs, LIMIT_S, f"{daemon.name} saying {words!r}")
    assert found(), daemon.log.read_text()
    return found()[0]


Run = Callable[..., Process]


def test_a_wrong_password_is_an_error_that_is_tried_again(run: Run) -> None:
    """A rotation may be under way; ending for it would leave the cloud unwatched until somebody starts hanode by hand."""
    daemon = run("rotated", keystone={"password": "wrong-s3cr3t"})
    said = line(daemon, "refuses us")
    assert " ERROR " in said and "Keystone refuses us, trying again: Keystone at http" in said
    assert "user 'hanode' of project 'service'" in said and "its password" in said
    assert daemon.runs
    assert "wrong-s3cr3t" not in daemon.log.read_text()
    assert said.count("Keystone at http") == 1, "the library would say it twice"


def test_a_keystone_that_does_not_answer_is_waited_for(run: Run) -> None:
    """After a power cut hanode is up before the cloud is."""
    (port,) = free_ports(1)
    daemon = run("early", keystone={"auth_url": f"http://127.0.0.1:{port}/v3"})
    said = line(daemon, "trying again")
    assert " WARNING Keystone does not answer, trying again: " in said
    assert f"127.0.0.1:{port}" in said and "Check auth_url" in said
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_an_etcd_that_does_not_answer_is_waited_for(run: Run) -> None:
    """And named member by member, in words that somebody who never saw our code understands."""
    first, second = free_ports(2)
    daemon = run("alone", journal={"url": f"etcd3+http://127.0.0.1:{first},127.0.0.1:{second}"})
    said = line(daemon, "trying again")
    assert " WARNING the journal does not answer, trying again: no etcd endpoint answered: " in said
    assert said.endswith(
        f"127.0.0.1:{first}: Failed to establish a new connection: [Errno 111] Connection refused; "
        f"127.0.0.1:{second}: Failed to establish a new connection: [Errno 111] Connection refused"
    )
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


# --------------------------------------------------------------------------- what is only said


def test_a_power_device_of_a_host_that_nova_lacks_is_named(run: Run, cloud: Play, tmp_path: Path) -> None:
    """Its real host has no device then, and nobody notices before it fails."""
    file = tmp_path / "fencing.yaml"
    file.touch(mode=0o600)
    file.write_text((cloud.stage.directory / "fencing.yaml").read_text().replace("  cn2:", "  cn22:"))
    daemon = run("stray", fencing={"config_file": file}, journal={"url": f"sqlite://{tmp_path}/journal.db"})
    said = line(daemon, "cn22: Nova has no compute host of this name")
    assert said.endswith(f"{file}: hosts.cn22: Nova has no compute host of this name, so its power device protects nobody; "
                         "did you mean cn2?")
    assert " WARNING " in said


def test_a_password_that_everybody_can_read_is_named(run: Run, cloud: Play, tmp_path: Path) -> None:
    """The administrator's password of the whole cloud."""
    file = tmp_path / "password"
    file.write_text("embedded")
    file.chmod(0o644)
    daemon = cloud.stage.daemon("open")
    conf = cloud.stage.conf_file("open")
    conf.write_text(conf.read_text().replace("password = embedded", f"password_file = {file}"))
    try:
        daemon.start()
        said = line(daemon, "everybody on this machine can read")
    finally:
        daemon.close()
    assert said.endswith(f"{conf}: [keystone] password_file: everybody on this machine can read {file}: chmod 640 {file}")


def test_of_two_daemons_on_one_sqlite_file_only_one_ever_leads(run: Run, tmp_path: Path) -> None:
    """Somebody started it twice. The second one waits, and takes over when the first is killed."""
    journal = {"url": f"sqlite://{tmp_path}/journal.db"}
    first = run("first", journal=journal)
    line(first, "leader (term 1)")
    second = run("second", journal=journal)
    line(second, "standby")
    assert "leader" not in second.log.read_text()
    first.signal(signal.SIGKILL)
    first.wait()
    line(second, "leader (term 2)")


# --------------------------------------------------------------------------- the command line


def test_commands_say_what_keeps_them_from_answering(write: Write) -> None:
    """Somebody types `hanode status` where hanode never ran: 3 is `cannot tell`, and no file is made for root."""
    conf = write()
    ended = hanode("status", "--check", "--config-file", str(conf))
    assert ended.returncode == 3
    assert "it is made when `hanode run` starts for the first time" in ended.stderr
    assert not (conf.parent / "journal.db").exists()


def test_a_mistyped_command_is_answered_with_the_right_ones() -> None:
    """`hanode hst list`"""
    ended = hanode("hst", "list")
    assert ended.returncode == 2
    assert "host list" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr + ended.stdout
