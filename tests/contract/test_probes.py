"""When does a host count as answering, as silent, and as not looked at?"""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hanode.adapters.probes import CommandSettings, Probes, ProbeSettings, address_of
from hanode.errors import ConfigError, Unreachable
from hanode.ports import Probe
from hanode.sim.etcd import wait_until

LOOPBACK = "127.0.0.1"


class Asked:
    """A probe of a single network."""

    def __init__(self, settings: ProbeSettings | CommandSettings) -> None:
        self._probe: Probe = Probes({"net": settings})

    def answers(self, host: str, host_ip: str) -> bool:
        return self._probe.answers(host, host_ip, "net")


def tcp(port: int, banner: str = "", timeout_s: float = 60.0) -> Asked:
    return Asked(ProbeSettings(kind="tcp", port=port, banner=banner, timeout_s=timeout_s))


# --------------------------------------------------------------------------- tcp


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Connections are accepted by the kernel; no program behind it takes them: as on a host whose user space hangs."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def serve(server: socket.socket, talk: Callable[[socket.socket], object]) -> None:
    def accept() -> None:
        connection, _ = server.accept()
        with connection:
            talk(connection)

    threading.Thread(target=accept, daemon=True).start()


def test_an_instance_serves_when_its_port_takes_a_connection(listener: socket.socket) -> None:
    """Whatever it says there: hanode speaks no protocol of a tenant's."""
    assert Probes({}, serves_timeout_s=60.0).serves(LOOPBACK, port_of(listener))


def test_an_instance_whose_kernel_refuses_lives_and_does_not_serve_yet() -> None:
    """Of a host a refusal is a sign of life; of a database it says that the database is not there."""
    with socket.create_server((LOOPBACK, 0)) as gone:
        port = port_of(gone)
    assert not Probes({}, serves_timeout_s=60.0).serves(LOOPBACK, port)


def test_an_address_that_cannot_be_reached_from_here_tells_nothing() -> None:
    """Unknown, with its reason: the operator named a network that this controller does not reach."""
    with pytest.raises(Unreachable, match=r"255\.255\.255\.255 port 80"):
        Probes({}, serves_timeout_s=60.0).serves("255.255.255.255", 80)


def test_an_accepted_connection_is_an_answer(listener: socket.socket) -> None:
    """Without a banner the kernel's word is enough."""
    assert tcp(port_of(listener)).answers("cn1", LOOPBACK)


def test_a_refused_connection_is_an_answer() -> None:
    """A reset is sent by a living kernel: the service is down, the host is not, and its guests may run."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = port_of(server)
    assert tcp(port).answers("cn1", LOOPBACK)
    assert tcp(port, banner="SSH-2.0").answers("cn1", LOOPBACK)


def test_the_banner_is_an_answer(listener: socket.socket) -> None:
    """Also when it comes in pieces, and with more behind it."""
    def talk(connection: socket.socket) -> None:
        for part in (b"SS", b"H-2.0-OpenSSH_9.2\r\n"):
            connection.sendall(part)

    serve(listener, talk)
    assert tcp(port_of(listener), banner="SSH-2.0").answers("cn1", LOOPBACK)


def test_a_connection_without_the_banner_is_silence(listener: socket.socket) -> None:
    """A hung kernel still accepts connections; that is what the banner is for."""
    assert not tcp(port_of(listener), banner="SSH-2.0", timeout_s=0.2).answers("cn1", LOOPBACK)


def test_another_banner_is_silence(listener: socket.socket) -> None:
    """A proxy that answers in the place of a dead host is not the host."""
    serve(listener, lambda connection: connection.sendall(b"HTTP/1.0 503 no server\r\n"))
    assert not tcp(port_of(listener), banner="SSH-2.0").answers("cn1", LOOPBACK)


def test_a_connection_closed_before_the_banner_is_an_answer(listener: socket.socket) -> None:
    """A full sshd hangs up on new clients: only a living program does that."""
    serve(listener, lambda _: None)
    assert tcp(port_of(listener), banner="SSH-2.0").answers("cn1", LOOPBACK)


@pytest.mark.parametrize("error", [
    TimeoutError("timed out"), OSError(errno.EHOSTUNREACH, "No route to host"), OSError(errno.ETIMEDOUT, "timed out"),
])
def test_nobody_at_the_address_is_silence(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """No answer in time, or none to the question whose address this is."""
    monkeypatch.setattr(socket, "create_connection", raising(error))
    assert not tcp(22).answers("cn1", "192.0.2.1")


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EPERM, errno.EACCES, errno.EADDRNOTAVAIL, errno.EMFILE, errno.EINVAL])
def test_a_fault_on_our_side_is_not_silence(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """No route, a firewall of ours, no free port: nobody looked, so nothing may be concluded."""
    monkeypatch.setattr(socket, "create_connection", raising(OSError(number, "of ours")))
    with pytest.raises(Unreachable, match="of ours"):
        tcp(22).answers("cn1", "192.0.2.1")


def raising(error: OSError) -> Callable[..., socket.socket]:
    def create_connection(*_: object, **__: object) -> socket.socket:
        raise error

    return create_connection


# --------------------------------------------------------------------------- icmp

HEAD = "PING 10.9.9.2 (10.9.9.2) 56(84) bytes of data.\n"
TAIL = "\n--- 10.9.9.2 ping statistics ---\n1 packets transmitted, 0 received, 100% packet loss, time 0ms\n"


class ScriptedPing:
    """A program named ping that says what the real one said (iputils 20221126)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def says(self, code: int, output: str = "", errors: str = "") -> None:
        (self.directory / "output").write_text(output)
        (self.directory / "errors").write_text(errors)
        program = self.directory / "ping"
        program.write_text(f"#!/bin/sh\ncd {self.directory}\necho \"$*\" > arguments\ncat output\ncat errors >&2\nexit {code}\n")
        program.chmod(0o755)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedPing:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return ScriptedPing(tmp_path)


ICMP = Asked(ProbeSettings(kind="icmp", timeout_s=2.0))


def test_a_reply_is_an_answer(program: ScriptedPing) -> None:
    """The plain case; `--` keeps an address from being taken for an option."""
    program.says(0, HEAD + "64 bytes from 10.9.9.2: icmp_seq=1 ttl=64 time=0.032 ms\n")
    assert ICMP.answers("cn1", "10.9.9.2")
    assert (program.directory / "arguments").read_text() == "-n -c 1 -W 2 -- 10.9.9.2\n"


@pytest.mark.parametrize(("output", "errors"), [
    ("", ""),
    ("From 10.9.9.1 icmp_seq=1 Destination Host Unreachable\n", ""),
    ("From fe80::1%eth0 icmp_seq=1 Destination unreachable: Address unreachable\n", ""),
    ("", "ping: sendmsg: No route to host\n"),
])
def test_no_reply_is_silence(program: ScriptedPing, output: str, errors: str) -> None:
    """Whether or not somebody near it remarks that it does not answer."""
    program.says(1, HEAD + output + TAIL, errors)
    assert not ICMP.answers("cn1", "10.9.9.2")


@pytest.mark.parametrize("text", ["Destination Host Prohibited", "Destination Port Unreachable", "Packet filtered"])
def test_an_error_from_the_host_itself_is_an_answer(program: ScriptedPing, text: str) -> None:
    """Its own firewall rejects us: it lives."""
    program.says(1, HEAD + f"From 10.9.9.2 icmp_seq=1 {text}\n" + TAIL)
    assert ICMP.answers("cn1", "10.9.9.2")


@pytest.mark.parametrize("text", ["Destination Net Unreachable", "Packet filtered", "Time to live exceeded"])
def test_an_error_from_a_router_means_that_nobody_looked(program: ScriptedPing, text: str) -> None:
    """The network between is broken; of the host it says nothing."""
    program.says(1, HEAD + f"From 10.9.9.1 icmp_seq=1 {text}\n" + TAIL)
    with pytest.raises(Unreachable, match=text):
        ICMP.answers("cn1", "10.9.9.2")


@pytest.mark.parametrize(("code", "errors"), [
    (1, "ping: sendmsg: Operation not permitted\n"),
    (2, "ping: connect: Network is unreachable\n"),
    (2, "ping: socket: Operation not permitted\n"),
    (2, ""),
])
def test_a_ping_that_could_not_send_is_not_silence(program: ScriptedPing, code: int, errors: str) -> None:
    """A firewall of ours that drops pings must not get healthy hosts shot."""
    program.says(code, HEAD + TAIL, errors)
    with pytest.raises(Unreachable):
        ICMP.answers("cn1", "10.9.9.2")


def test_a_missing_ping_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looked; and the operator learns why."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unreachable, match="install iputils-ping"):
        ICMP.answers("cn1", "10.9.9.2")


def test_the_real_ping_hears_this_machine() -> None:
    """The arguments are those of the installed program."""
    if shutil.which("ping") is None or subprocess.run(["ping", "-c", "1", LOOPBACK], capture_output=True, check=False).returncode:
        pytest.skip("no ping that works for this user")
    assert ICMP.answers("cn1", LOOPBACK)


# --------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("host_ip", ["", "cn1.example.org", "-f"])
def test_without_an_address_nobody_looked(host_ip: str) -> None:
    """Nova may not know it; a name is not asked for, because names fail together with the cloud."""
    with pytest.raises(Unreachable, match="no IP address"):
        ICMP.answers("cn1", host_ip)


def test_a_configured_address_replaces_novas(listener: socket.socket) -> None:
    """The probe should go over another network than the one that Nova's messages use."""
    probe = Asked(ProbeSettings(kind="tcp", port=port_of(listener), addresses={"cn1": LOOPBACK}))
    assert probe.answers("cn1", "")


@pytest.mark.parametrize("settings", [ProbeSettings(kind="arp"), ProbeSettings(addresses={"cn1": "cn1.example.org"})])
def test_a_probe_that_cannot_work_is_refused_at_the_start(settings: ProbeSettings) -> None:
    """And not found out in the night."""
    with pytest.raises(ConfigError, match="probe"):
        Asked(settings)


# --------------------------------------------------------------------------- several networks


@pytest.mark.parametrize(("host_ip", "within", "expected"), [
    ("192.0.2.11", "10.20.0.0/16", "10.20.2.11"),
    ("192.0.2.11", "10.20.7.0/24", "10.20.7.11"),
    ("2001:db8::11", "fd00:20::/64", "fd00:20::11"),
    ("192.0.2.11", "", "192.0.2.11"),
])
def test_a_host_has_the_same_last_bits_on_every_network(host_ip: str, within: str, expected: str) -> None:
    """How most clouds number their networks; nothing has to be looked up in the night."""
    assert address_of("cn1", host_ip, ProbeSettings(within=within)) == expected


def test_a_host_without_a_counterpart_on_a_network_was_not_looked_at() -> None:
    """IPv4 here and IPv6 there: its address there has to be given."""
    with pytest.raises(Unreachable, match="give its address there"):
        address_of("cn1", "192.0.2.11", ProbeSettings(within="fd00:20::/64"))


def test_each_network_is_asked_at_an_address_of_its_own() -> None:
    """A host that lives on one network and is gone from another answers so."""
    with socket.create_server(("127.0.77.11", 0)) as management, socket.create_server(("127.0.78.11", port_of(management))) as storage:
        ways = {"management": ProbeSettings("tcp", port_of(management), "SSH-", 0.3),
                "storage": ProbeSettings("tcp", port_of(storage), "SSH-", 0.3, within="127.0.78.0/24")}
        serve(management, lambda connection: connection.sendall(b"SSH-2.0-cn1\r\n"))
        probe = Probes(ways)
        assert probe.answers("cn1", "127.0.77.11", "management")
        assert not probe.answers("cn1", "127.0.77.11", "storage")
        serve(storage, lambda connection: connection.sendall(b"SSH-2.0-cn1\r\n"))
        # The connection that was not greeted before is the first to be taken, and has been given up.
        serve(storage, lambda connection: connection.sendall(b"SSH-2.0-cn1\r\n"))
        assert Probes({"storage": ProbeSettings("tcp", port_of(storage), "SSH-", 60.0, within="127.0.78.0/24")}).answers(
            "cn1", "127.0.77.11", "storage")


def test_a_network_that_this_daemon_does_not_know_was_not_looked_at() -> None:
    """A witness may be configured differently from the leader that asks it."""
    with pytest.raises(Unreachable, match="no network tenant"):
        Probes({"net": ProbeSettings()}).answers("cn1", LOOPBACK, "tenant")


# --------------------------------------------------------------------------- a program of the operator's


def program_saying(directory: Path, script: str) -> Asked:
    program = directory / "is-alive"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Asked(CommandSettings((str(program), "{host}", "at={address}"), timeout_s=0.5 if "sleep" in script else 60.0))


def test_a_program_vouches_for_a_host_or_hears_nothing(tmp_path: Path) -> None:
    """By its exit code; it is told whom it is asked about."""
    told = tmp_path / "told"
    assert program_saying(tmp_path, f'echo "$*" > {told}; exit 0').answers("cn1", "192.0.2.11")
    assert told.read_text() == "cn1 at=192.0.2.11\n"
    assert not program_saying(tmp_path, "exit 1").answers("cn1", "192.0.2.11")


@pytest.mark.parametrize("script", ["echo no login >&2; exit 2", "kill -9 $$", "exit 127"])
def test_any_other_end_of_the_program_means_that_it_could_not_look(tmp_path: Path, script: str) -> None:
    """A missing interpreter must not get healthy hosts shot."""
    with pytest.raises(Unreachable, match="could not look"):
        program_saying(tmp_path, script).answers("cn1", "192.0.2.11")


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """It has not looked; and nothing of it is left behind."""
    child = tmp_path / "child"
    with pytest.raises(Unreachable, match="no answer within"):
        program_saying(tmp_path, f"sleep 600 & echo $! > {child}; wait").answers("cn1", "192.0.2.11")
    pid = int(child.read_text())
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: not stat.exists() or "(sleep) Z" in stat.read_text(), 60.0, "the end of its child")


def test_a_missing_program_is_named() -> None:
    """Nobody looked; and the operator learns why."""
    with pytest.raises(Unreachable, match="install is-alive"):
        Asked(CommandSettings(("/nonexistent/is-alive", "{host}"))).answers("cn1", "192.0.2.11")
