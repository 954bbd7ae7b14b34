"""What does a listener for crashing kernels take for a message, and whose? Over real datagrams on loopback."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanode.adapters.kdump import MOST_SENDERS, Listener
from hanode.adapters.probes import Probes, ProbeSettings
from hanode.core.signals import KDUMP
from hanode.errors import ConfigError, Unreachable
from hanode.ports import Probe
from hanode.sim.etcd import wait_until

LOOPBACK = "127.0.0.1"
SILENCE_S = 25.0
SENDER = Path("/usr/libexec/fence-agents/fence_kdump_send")
MESSAGE = struct.pack("<II", 0x1B302A40, 1)


class Clock:
    """Long enough after the listener's beginning for its silence to mean something."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener(clock: Clock) -> Iterator[Listener]:
    found = Listener(LOOPBACK, 0, SILENCE_S, clock)
    clock.now_s += SILENCE_S
    yield found
    found.close()


def send(listener: Listener, message: bytes, source: str = LOOPBACK) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(message, (LOOPBACK, listener.port))


def heard(listener: Listener, source: str = LOOPBACK) -> None:
    wait_until(lambda: listener.says_crash([source]), 60.0, f"a message of {source}")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_crashing_kernel_is_heard_whatever_its_byte_order(listener: Listener, order: str) -> None:
    """fence_kdump_send writes the order of its own machine: s390x is not x86."""
    send(listener, struct.pack(f"{order}II", 0x1B302A40, 1))
    heard(listener)


def test_the_program_of_fence_agents_is_understood(listener: Listener) -> None:
    """Debian puts it into the initrd of the crash kernel."""
    if not SENDER.exists():
        pytest.skip(f"not installed: {SENDER} (Debian: fence-agents)")
    subprocess.run([SENDER, "-p", str(listener.port), "-f", "ipv4", "-c", "1", "-i", "1", LOOPBACK], check=True, timeout=60)
    heard(listener)


@pytest.mark.parametrize("message", [b"", b"\0" * 8, struct.pack("<II", 0x1B302A40, 2), MESSAGE[:7], MESSAGE + b"\0", b"\xff" * 2000])
def test_anything_else_is_not_heard(listener: Listener, message: bytes) -> None:
    """A port scan must not keep a power-off back. What comes after it is heard, so it was read."""
    send(listener, message)
    send(listener, MESSAGE, "127.0.0.2")
    heard(listener, "127.0.0.2")
    assert not listener.says_crash([LOOPBACK])


def test_a_message_counts_for_the_silence_that_was_configured(listener: Listener, clock: Clock) -> None:
    """A dump is over when its messages have stopped."""
    send(listener, MESSAGE)
    heard(listener)
    clock.now_s += SILENCE_S
    assert listener.says_crash([LOOPBACK])
    clock.now_s += 0.1
    assert not listener.says_crash([LOOPBACK])


def test_who_has_just_begun_to_listen_does_not_know(clock: Clock) -> None:
    """The last message may have come a moment before; a failed look is never an answer."""
    fresh = Listener(LOOPBACK, 0, SILENCE_S, clock)
    try:
        with pytest.raises(Unreachable, match="one may have spoken before"):
            fresh.says_crash([LOOPBACK])
        send(fresh, MESSAGE)
        wait_until(lambda: knows(fresh), 60.0, "the message")
    finally:
        fresh.close()


def knows(listener: Listener) -> bool:
    try:
        return listener.says_crash([LOOPBACK])
    except Unreachable:
        return False


def test_a_sender_is_whichever_host_has_its_address(listener: Listener) -> None:
    """The crash kernel brings up one network, and nobody knows which: host_ip, its counterparts, and declared addresses count."""
    ways = {"storage": ProbeSettings(within="127.0.78.0/24"), "tenant": ProbeSettings(addresses={"cn1": "127.0.79.9"})}
    probe: Probe = Probes(ways, listener)
    for source in ("127.0.0.11", "127.0.78.11", "127.0.79.9"):
        assert not probe.answers("cn1", "127.0.0.11", KDUMP)
        send(listener, MESSAGE, source)
        heard(listener, source)
        assert probe.answers("cn1", "127.0.0.11", KDUMP)
        assert not probe.answers("cn2", "127.0.0.12", KDUMP)
        listener._heard_s.clear()


def test_a_host_without_an_address_says_nothing(listener: Listener) -> None:
    """Nova may not know one."""
    assert not Probes({}, listener).answers("cn1", "", KDUMP)


def test_without_a_listener_nobody_was_asked() -> None:
    """A standby may be configured differently from its leader."""
    with pytest.raises(Unreachable, match="no network kdump"):
        Probes({}).answers("cn1", LOOPBACK, KDUMP)


def test_a_flood_of_senders_is_forgotten_from_its_old_end(listener: Listener) -> None:
    """Whoever can forge one address can forge all of them: memory must not grow with it."""
    for number in range(MOST_SENDERS + 1):
        listener._note(f"10.0.{number // 256}.{number % 256}")
    assert len(listener._heard_s) == MOST_SENDERS
    assert not listener.says_crash(["10.0.0.0"])
    assert listener.says_crash(["10.0.0.1"])


def test_an_ipv4_sender_is_known_through_an_ipv6_socket() -> None:
    """`::` hears both families; Nova's host_ip is written the plain way."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    clock = Clock()
    listener = Listener("::", 0, SILENCE_S, clock)
    clock.now_s += SILENCE_S
    try:
        send(listener, MESSAGE)
        heard(listener)
    finally:
        listener.close()


def test_a_port_that_somebody_has_is_named_with_its_remedy(listener: Listener) -> None:
    """Found at the start, and not when a kernel crashes."""
    with pytest.raises(ConfigError, match=rf"kdump_port: nobody can listen on UDP {LOOPBACK} port {listener.port}"):
        Listener(LOOPBACK, listener.port, SILENCE_S)
