"""What runs on a host whose power is on?

`init.py HOST_IP PORT PID_FILE LOG -- NOVA_COMPUTE...` leads the process group that the power switch
kills. It answers on the host's address like an SSH server, as a sign of life that does not depend on
nova-compute, and starts nova-compute once. Guests whose nova-compute died become its children. USR1
starts nova-compute again, as an operator would by `systemctl start`. It runs without the lab's package:
a host costs one small process more than its nova-compute.
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
BANNER = b"SSH-2.0-hanode-lab\r\n"


def listener(address: str, port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Beside the silence that answers for hosts that are off (silence.py).
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((address, port))
    server.listen(64)
    server.setblocking(False)
    return server


def greet(server: socket.socket) -> None:
    try:
        connection, _peer = server.accept()
        connection.settimeout(1)
        with connection:
            connection.sendall(BANNER)
    except OSError:
        pass  # A prober that hangs up early is no concern of the host.


def reap(compute: int) -> int:
    """Collect the dead; 0 once nova-compute was among them."""
    while True:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == 0:
            return compute
        if pid == compute:
            compute = 0


def start_compute(argv: list[str], pid_file: str, log: str) -> int:
    with Path(log).open("ab") as output:
        compute = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    Path(pid_file).write_text(str(compute.pid))
    # Reaped by reap(); a Popen that waits for itself would compete with it.
    compute.returncode = 0
    return compute.pid


def main() -> None:
    address, port, pid_file, log, separator, *argv = sys.argv[1:]
    assert separator == "--"
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = listener(address, int(port))
    wanted = []
    waker, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGUSR1, lambda *_: wanted.append(True))
    compute = start_compute(argv, pid_file, log)
    while True:
        ready, _, _ = select.select([server.fileno(), waker], [], [])
        if waker in ready:
            os.read(waker, 512)
            compute = reap(compute)
        if wanted and not compute:
            compute = start_compute(argv, pid_file, log)
        wanted.clear()
        if server.fileno() in ready:
            greet(server)


if __name__ == "__main__":
    main()
