"""The process: start, tick, reload, hand over, end. With a played engine, and once as a real process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from hanode import metrics
from hanode.adapters.executor import POOLS, ThreadExecutor
from hanode.adapters.fencing.config import FencingConfig
from hanode.adapters.fencing.devices import Devices
from hanode.adapters.notify.courier import Couriers
from hanode.adapters.systemd import Systemd
from hanode.conf import build
from hanode.conf.judgement import FENCING
from hanode.core.policy import Policy
from hanode.daemon import Daemon, Parts, Patiently, load_devices, make_probe
from hanode.engine.ledger import ForeignJournal
from hanode.errors import Ambiguous, ConfigError, Refused, Unreachable

LIMIT_S = 60.0


def wait_until(condition: Callable[[], bool], timeout_s: float = LIMIT_S) -> None:
    waiting = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen in time")


class PlayedEngine:
    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.ticks = 0
        self.resigned = False
        self.fails_with: Exception | None = None
        self.wake: Callable[[], None] = lambda: None
        self.summary = "leads, all is well"
        self.trouble = ""
        failed = {"verdict": "FAILED", "state": "FENCING", "fenceable": True}
        self.status: Mapping[str, Any] = {"leader": {"term": 7}, "hosts": {"compute7": failed}}
        self.leads = self.ready = True

    def tick(self) -> float:
        self.ticks += 1
        if self.fails_with:
            raise self.fails_with
        return 3600.0

    def resign(self) -> None:
        self.resigned = True

    def reload(self, policy: Policy) -> None:
        self.policy = policy


class Listener:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        while True:
            try:
                self._heard += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self._heard

    def close(self) -> None:
        self._socket.close()


@dataclass
class Running:
    daemon: Daemon
    engine: PlayedEngine
    systemd: Listener
    config: Path
    executor: ThreadExecutor
    thread: threading.Thread | None = None
    code: int | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.code = self.daemon.run()

    def end(self) -> int | None:
        self.daemon.stop()
        if self.thread:
            self.thread.join(LIMIT_S)
        return self.code


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    config = tmp_path / "hanode.conf"
    config.write_text(f"[fencing]\nconfig_file =\n[journal]\nurl = sqlite://{tmp_path}/j.db\n")
    settings = build.load([str(config)])
    listener = Listener(tmp_path / "notify")
    engine, executor = PlayedEngine(build.policy(settings)), ThreadExecutor()

    def wire(_: build.Settings, __: Patiently) -> Parts:
        return Parts(engine, executor, Devices(FencingConfig()), engine.policy)

    daemon = Daemon(settings, wire, Systemd({"NOTIFY_SOCKET": listener.path}))
    made = Running(daemon, engine, listener, config, executor)
    yield made
    made.end()
    listener.close()


# --------------------------------------------------------------------------- ticking


def test_systemd_hears_ready_after_the_first_tick_and_alive_after_each_further_one(running: Running) -> None:
    """Only the tick loop may say that we live: a loop that hangs must be killed, whatever the other threads do."""
    running.start()
    wait_until(lambda: "READY=1" in running.systemd.heard())
    assert "WATCHDOG=1" not in running.systemd.heard()
    assert "STATUS=leads, all is well" in running.systemd.heard()
    running.engine.wake()
    wait_until(lambda: "WATCHDOG=1" in running.systemd.heard())
    assert running.engine.ticks == 2


def test_an_outcome_wakes_the_tick(running: Running) -> None:
    """The engine said `in an hour`; a worker that has finished must not wait for that."""
    running.start()
    wait_until(lambda: running.engine.ticks == 1)
    running.executor.submit("act", running.engine.wake)
    wait_until(lambda: running.engine.ticks == 2)


def test_quiet_time_is_ticked_through_only_for_the_watchdog(running: Running, tmp_path: Path) -> None:
    """systemd waits WatchdogSec, the engine perhaps longer: the shorter of them counts."""
    environment = {"NOTIFY_SOCKET": running.systemd.path, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
    assert Systemd({**environment, "WATCHDOG_PID": "1"}).watchdog_s == 0.0, "meant for another process"
    running.daemon._systemd = Systemd(environment)
    running.start()
    wait_until(lambda: running.engine.ticks >= 3)


def test_trouble_is_logged_when_it_begins_and_when_it_ends(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Said each tick, it would bury what happens meanwhile."""
    caplog.set_level("INFO")
    for engine_trouble in ("", "etcd does not answer", "etcd does not answer", ""):
        running.engine.trouble = engine_trouble
        running.daemon._log_changes(running.engine)
    assert [record.message for record in caplog.records] == [
        "leads, all is well", "in trouble, trying again: etcd does not answer", "leads, all is well"]


def test_office_and_incidents_are_measured(running: Running) -> None:
    """The alert rules rest on these. Only the leader shows numbers of the cloud: a standby's would be old, or counted twice."""
    engine = running.engine
    running.start()
    wait_until(lambda: "hanode_leader 1.0" in shown() and "hanode_term 7.0" in shown())
    assert 'hanode_incidents{state="FENCING"} 1.0' in shown()
    assert 'hanode_hosts{verdict="HELD"} 0.0' in shown(), "an alert must be able to begin from 0 and to end there"
    engine.leads, engine.status = False, {}
    engine.wake()
    wait_until(lambda: "hanode_leader 0.0" in shown())
    wait_until(lambda: "hanode_incidents" not in shown() and "hanode_hosts" not in shown())


# --------------------------------------------------------------------------- ending


def test_asked_to_end_it_resigns_at_once_and_ends_with_0(running: Running) -> None:
    """Another daemon takes over within a tick instead of after the lease."""
    running.start()
    wait_until(lambda: running.engine.ticks == 1)
    assert running.end() == 0
    assert running.engine.resigned
    assert "STOPPING=1" in running.systemd.heard()


def test_running_acts_may_end_and_queued_ones_never_begin() -> None:
    """An evacuation cut off in the middle is a doubt for the next leader; one not begun is none."""
    executor = ThreadExecutor({"act": 1})
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def act() -> None:
        begun.set()
        go_on.wait(LIMIT_S)
        ended.append("first")

    executor.submit("act", act)
    executor.submit("act", lambda: ended.append("second"))
    assert begun.wait(LIMIT_S)
    assert not executor.close(0.01), "the first still runs"
    go_on.set()
    assert executor.close(LIMIT_S)
    assert ended == ["first"]


def test_a_defect_in_a_worker_does_not_cost_the_pool_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    """Sixteen defects later nothing would be fenced any more, silently."""
    executor, done = ThreadExecutor({"read": 1}), threading.Event()
    executor.submit("read", lambda: [][0])
    executor.submit("read", done.set)
    assert done.wait(LIMIT_S)
    assert "this is a defect of hanode" in caplog.text


@pytest.mark.parametrize(("error", "code"), [(ForeignJournal("the journal of another cloud"), 2), (Ambiguous("x"), 1)])
def test_what_only_people_can_mend_ends_the_daemon(running: Running, error: Exception, code: int,
                                                   caplog: pytest.LogCaptureFixture) -> None:
    """2 is not restarted by systemd: acting on another cloud's records would power off the wrong hosts."""
    running.engine.fails_with = error
    running.start()
    wait_until(lambda: running.code is not None)
    assert running.code == code
    assert running.engine.resigned
    assert f"hanode stands down: {error}" in caplog.text


# --------------------------------------------------------------------------- reloading


def test_a_reload_changes_the_policy(running: Running) -> None:
    """Arming the cloud must not need a restart."""
    running.start()
    wait_until(lambda: running.engine.ticks == 1)
    running.config.write_text(running.config.read_text() + "[DEFAULT]\nmode = act\n")
    running.daemon.hang_up()
    wait_until(lambda: running.engine.policy.mode == "act")
    wait_until(lambda: running.systemd.heard().count("READY=1") == 2)
    assert "RELOADING=1" in running.systemd.heard()


def test_a_wrong_file_changes_nothing_on_reload(running: Running, capfd: pytest.CaptureFixture[str],
                                                caplog: pytest.LogCaptureFixture) -> None:
    """A typing error must not disarm a running daemon, nor end it."""
    running.start()
    wait_until(lambda: running.engine.ticks == 1)
    before = running.engine.policy
    running.config.write_text("[DEFAULT]\nmode = act\n[brake]\nhosst = 9\n")
    running.daemon.hang_up()
    wait_until(lambda: running.engine.ticks == 2)
    assert running.engine.policy is before
    assert f"nothing was changed: {running.config}: [brake] hosst is not an option; did you mean hosts?" in caplog.text
    assert running.end() == 0


def test_a_reload_says_what_needs_a_restart(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    """Somebody who changed the journal's url believes it is in force otherwise."""
    running.start()
    wait_until(lambda: running.engine.ticks == 1)
    running.config.write_text("[fencing]\nconfig_file =\n[journal]\nurl = etcd3+http://h1:2379\n[office]\nlease_ttl_s = 30\n")
    running.daemon.hang_up()
    wait_until(lambda: running.engine.ticks == 2)
    said = capfd.readouterr().out
    assert "[journal] url has changed, which takes effect at the next start" in said
    assert running.engine.policy.lease_ttl_s == 15.0


# --------------------------------------------------------------------------- starting


def test_what_does_not_answer_at_start_is_waited_for(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """After a power cut hanode is up before etcd and Keystone are."""
    answers = iter([Unreachable("no connection"), Refused("wrong password in [keystone] password_file"), None])

    def call() -> str:
        answer = next(answers)
        if answer:
            running.daemon._bell.ring()  # do not really wait
            raise answer
        return "connected"

    assert running.daemon._patiently("Keystone", call) == "connected"
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "Keystone does not answer, trying again: no connection"),
        ("ERROR", "Keystone refuses us, trying again: wrong password in [keystone] password_file"),
    ]
    assert "STATUS=waits for Keystone" in running.systemd.heard()


def test_a_wrong_configuration_is_not_waited_for(running: Running) -> None:
    """Nothing gets better by itself there."""
    def call() -> None:
        raise ConfigError("no such file")

    with pytest.raises(ConfigError):
        running.daemon._patiently("Keystone", call)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "hanode.conf").write_text(
        f"[journal]\nurl = sqlite://{tmp_path}/j.db\n[fencing]\nconfig_file =\n[web]\nport = 0\n"
        "[keystone]\nauth_url = http://127.0.0.1:9\nusername = u\npassword = s3cr3t\n")
    command = [sys.executable, "-m", "hanode", "run", "--config-file", str(tmp_path / "hanode.conf")]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               cwd=Path(__file__).parent.parent.parent, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    yield started
    started.kill()
    started.wait(LIMIT_S)
    assert started.stdout is not None
    started.stdout.close()


@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGINT])
def test_the_process_waits_for_keystone_and_ends_when_asked(process: subprocess.Popen[str], asked_by: signal.Signals) -> None:
    """A daemon that waits must still obey `systemctl stop`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Keystone does not answer, trying again" in line:
            break
    process.send_signal(asked_by)
    assert process.wait(LIMIT_S) == 0
    assert "WARNING" in lines[-1] and "127.0.0.1:9" in lines[-1]
    assert "s3cr3t" not in "".join(lines) + process.stdout.read()


def test_the_process_ends_with_2_on_a_wrong_file(tmp_path: Path) -> None:
    """systemd does not start it again then (RestartPreventExitStatus)."""
    (tmp_path / "hanode.conf").write_text("[brake]\nhosst = 1\n")
    command = [sys.executable, "-m", "hanode", "run", "--config-file", str(tmp_path / "hanode.conf")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent.parent)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "did you mean hosts?" in ended.stderr


# --------------------------------------------------------------------------- parts


def test_no_fencing_file_means_no_devices_only_when_that_is_said(tmp_path: Path) -> None:
    """A path with a typing error would otherwise leave every host to be confirmed by hand."""
    (tmp_path / "a.conf").write_text("[fencing]\nconfig_file =\n")
    assert load_devices(build.load([str(tmp_path / "a.conf")])).hosts == {}
    (tmp_path / "b.conf").write_text(f"[fencing]\nconfig_file = {tmp_path}/fencing.yml\n")
    with pytest.raises(ConfigError, match=r"fencing\.yml"):
        load_devices(build.load([str(tmp_path / "b.conf")]))


def test_without_a_probe_nothing_is_claimed_of_a_host(tmp_path: Path) -> None:
    """`False` would mean that it was asked and was silent."""
    (tmp_path / "a.conf").write_text("[probe]\nkind = none\n")
    probe = make_probe(build.load([str(tmp_path / "a.conf")]))
    with pytest.raises(Unreachable):
        probe.answers("compute1", "192.0.2.1", "management")


def test_as_many_hosts_can_be_fenced_at_once_as_may_be() -> None:
    """Each power-off holds a thread for as long as its device takes: fewer threads would make hosts wait for each other."""
    most = next(option.type.max for option in FENCING[1] if option.dest == "max_at_once")
    assert POOLS["fence"] >= most


def test_a_series_that_was_shown_goes_to_0_instead_of_vanishing() -> None:
    """An alert on a hold must be able to end."""
    metrics.cloud_is({"hanode_holds": {"TOO_MANY": 1}})
    metrics.cloud_is({"hanode_holds": {"OFFICE": 1}})
    assert 'hanode_holds{hold="TOO_MANY"} 0.0' in shown()
    assert 'hanode_holds{hold="OFFICE"} 1.0' in shown()


def shown() -> str:
    return generate_latest(metrics.REGISTRY).decode()


# --------------------------------------------------------------------------- notifications


class PlayedNotifier(Couriers):
    def __init__(self) -> None:
        super().__init__()
        self.forgot = 0
        self.closed_when_resigned: bool | None = None
        self.engine: PlayedEngine | None = None

    def forget(self) -> None:
        self.forgot += 1

    def close(self, timeout_s: float) -> bool:
        assert self.engine is not None
        self.closed_when_resigned = self.engine.resigned
        return True


def test_who_does_not_lead_tells_nothing_and_who_ends_tells_the_rest(running: Running) -> None:
    """Exactly the leader tells; a hand-over does not wait for a receiver that is slow."""
    notifier = PlayedNotifier()
    notifier.engine = running.engine
    wire = running.daemon._wire
    running.daemon._wire = lambda settings, patiently: replace(wire(settings, patiently), notifier=notifier)
    running.start()
    wait_until(lambda: running.engine.ticks >= 1)
    assert notifier.forgot == 0
    running.engine.leads = False
    running.engine.wake()
    wait_until(lambda: notifier.forgot >= 1)
    assert running.end() == 0
    assert notifier.closed_when_resigned is True
