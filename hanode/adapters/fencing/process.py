"""How is a program of others run, so that it neither hangs us nor outlives its time?

Each runs in a process group of its own, with an empty environment apart from what it needs to be found, and is killed
with all of its children when the attempt ends first.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hanode.adapters.fencing.attempt import POLL_S, Attempt
from hanode.errors import HanodeError, Refused

SYSTEM = "/usr/sbin:/sbin"  # where Debian keeps fence agents; not in the path of every service


def path() -> str:
    return os.environ.get("PATH", os.defpath) + ":" + SYSTEM


def run(
    arguments: Sequence[str], attempt: Attempt, *, told: str = "", passed: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; `told` is given on its standard input, `passed` are descriptors that it inherits."""
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
            env={"PATH": path(), "LC_ALL": "C"}, pass_fds=passed, start_new_session=True,
        )
    except OSError as error:
        name = os.path.basename(arguments[0])  # noqa: PTH119 - the name of a program, which need not be a path
        raise Refused(f"{name} cannot be started on this machine ({error.strerror}): install {name}") from error
    with process:
        return _wait(process, attempt, told)


def run_well(
    arguments: Sequence[str], attempt: Attempt, ends: Mapping[int, Callable[[str], HanodeError]], secret: str = ""
) -> subprocess.CompletedProcess[str]:
    """A program of the operator's that ended with 0. Raises what `ends` says of another end, else that nobody knows what became of it."""
    result = run(arguments, attempt, told=f"{secret}\n" if secret else "")
    if result.returncode == 0:
        return result
    why = f"{arguments[0]} ended with {result.returncode} ({last_line(result.stdout + result.stderr, secret)})"
    if result.returncode in ends:
        raise ends[result.returncode](f"{attempt.device}: {why}")
    raise attempt.unanswered(why)


def _wait(process: subprocess.Popen[str], attempt: Attempt, told: str) -> subprocess.CompletedProcess[str]:
    left: str | None = told
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                output, errors = process.communicate(left, timeout=POLL_S)
                return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
            left = None  # communicate goes on by itself with what it was given first
            attempt.check()
    except BaseException:
        # The child leads its own session, so its group is its pid; it is not reaped yet, so the pid is still its own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def last_line(said: str, secret: str = "") -> str:
    """The last thing that a program said, without the secret should it have repeated that."""
    line = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    return (line.replace(secret, "***") if secret else line)[:300]
