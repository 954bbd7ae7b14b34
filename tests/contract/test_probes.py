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

from hanode.adapters.probes import Probes, ProbeSettings
from hanode.errors import ConfigError, Unreachable
from hanode.ports import Probe

LOOPBACK = "127.0.0.1"


def tcp(port: int, banner: str = "", timeout_s: float = 60.0) -> Probes:
    return Probes(ProbeSettings(kind="tcp", port=port, banner=banner, timeout_s=timeout_s))


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


def test_an_accepted_connection_is_an_answer(listener: socket.socket) -> None:
    """Without a banner the kernel's word is enough."""
    probe: Probe = tcp(port_of(listener))
    assert probe.answers("cn1", LOOPBACK)


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


ICMP = Probes(ProbeSettings(kind="icmp", timeout_s=2.0))


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
    probe = Probes(ProbeSettings(kind="tcp", port=port_of(listener), addresses={"cn1": LOOPBACK}))
    assert probe.answers("cn1", "")


@pytest.mark.parametrize("settings", [ProbeSettings(kind="arp"), ProbeSettings(addresses={"cn1": "cn1.example.org"})])
def test_a_probe_that_cannot_work_is_refused_at_the_start(settings: ProbeSettings) -> None:
    """And not found out in the night."""
    with pytest.raises(ConfigError, match="probe"):
        Probes(settings)
