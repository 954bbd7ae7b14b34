"""What does the network answer for a host that is off? Nothing, although on loopback every address has a living kernel.

`silence.py PORT`: listens on the hosts' port for every address of the loopback device, accepts, and never says a word.
A host that is on has a more specific listener, which the kernel prefers; so this one answers only for hosts that are off.
"""

import contextlib
import socket
import sys
import time
from collections import deque

KEEP_S = 30.0


def main() -> None:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Nobody from outside reaches it, whatever address it is bound to.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    server.bind(("0.0.0.0", int(sys.argv[1])))
    server.listen(256)
    server.settimeout(1.0)
    kept: deque[tuple[float, socket.socket]] = deque()
    while True:
        with contextlib.suppress(TimeoutError):
            kept.append((time.monotonic() + KEEP_S, server.accept()[0]))
        # Hanging up early would be an answer.
        while kept and kept[0][0] < time.monotonic():
            kept.popleft()[1].close()


if __name__ == "__main__":
    main()
