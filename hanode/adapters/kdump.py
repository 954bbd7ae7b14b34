"""Which kernels have said lately that they crash? The receiving end of fence_kdump_send (fence-agents, agents/kdump).

One datagram is `struct fence_kdump_msg`: magic 0x1B302A40 and version 1, two 32 bit words in the byte order of whoever sends it,
which need not be ours. It tells nothing more: who sends it is its source address, which is not authenticated.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

from hanode.errors import ConfigError, Unreachable

MAGIC, VERSION = 0x1B302A40, 1
MESSAGES = frozenset({struct.pack("<II", MAGIC, VERSION), struct.pack(">II", MAGIC, VERSION)})
MOST_BYTES = 64
LOOK_UP_S = 1.0
MOST_SENDERS = 4096
"""Anybody can send in anybody's name: of more senders than that the one heard longest ago is forgotten."""


class Listener:
    """Hears from the moment at which it is made, in a thread of its own, so that a standby has heard what a new leader asks."""

    def __init__(self, address: str, port: int, silence_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._silence_s, self._clock_s = silence_s, clock_s
        self._heard_s: OrderedDict[str, float] = OrderedDict()  # source address -> when it was heard last
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"[probe] kdump_port: nobody can listen on UDP {address} port {port} ({error.strerror}): correct "
                              "kdump_address and kdump_port, or end the program that has the port") from error
        self._socket.settimeout(LOOK_UP_S)
        self._begun_s = clock_s()
        self._closed = False
        threading.Thread(target=self._listen, name="kdump", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def says_crash(self, addresses: Iterable[str]) -> bool:
        """Was a message heard from one of these within `silence_s`?

        Raises Unreachable while that cannot be known: who has just begun to listen may have missed the last one.
        """
        now_s = self._clock_s()
        with self._lock:
            last_s = max((self._heard_s.get(_plain(address), float("-inf")) for address in addresses), default=float("-inf"))
        if now_s - last_s <= self._silence_s:
            return True
        if now_s - self._begun_s < self._silence_s:
            raise Unreachable(f"listens for crashing kernels for {now_s - self._begun_s:.0f} s only: one may have spoken before")
        return False

    def close(self) -> None:
        """Hear nothing more; what was heard is still told."""
        self._closed = True

    def _listen(self) -> None:
        with self._socket:
            while not self._closed:
                # Nobody spoke, or the network of ours had a hiccup: both are for the next round.
                with suppress(TimeoutError, OSError):
                    message, sender = self._socket.recvfrom(MOST_BYTES)
                    if message in MESSAGES:
                        self._note(_plain(sender[0]))

    def _note(self, address: str) -> None:
        with self._lock:
            self._heard_s[address] = self._clock_s()
            self._heard_s.move_to_end(address)
            if len(self._heard_s) > MOST_SENDERS:
                self._heard_s.popitem(last=False)


def _plain(address: str) -> str:
    """One address, one text: an IPv4 sender heard through an IPv6 socket is still that sender."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
