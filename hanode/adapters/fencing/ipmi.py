"""How is a BMC spoken to over IPMI? By ipmitool, one process per command, in a process group of its own.

Measured with ipmitool 1.8.19, and the reason for the odd arguments:
- `-v`: without it a wrong password and a dead BMC give the very same message.
- A dead BMC costs 2 x (1 + 2 + .. + R) s with `-N 1 -R R`; the default (and R = 0) means 20 s.
- Return code 0 of `power off` means that the BMC accepted it, nothing more.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from hanode.adapters.fencing import process
from hanode.adapters.fencing.attempt import Attempt, LoginRefused
from hanode.adapters.fencing.identity import tells_apart
from hanode.adapters.fencing.settings import IpmiSettings
from hanode.core.facts import Power
from hanode.errors import HanodeError, Refused, Unreachable

STATUS = re.compile(r"^Chassis Power is (on|off)$", re.MULTILINE)
GUID = re.compile(r"^System GUID\s*:\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$", re.MULTILINE | re.IGNORECASE)
NO_SESSION = "Unable to establish"
# Said while the session is made: login, privilege or cipher are wrong. A BMC without a free session says it there too.
LOGIN = re.compile(r"^.*(?:RAKP|open session response|Session Privilege).*$", re.MULTILINE)
BUSY = "insufficient resources"
ANSWER = re.compile(r"^(?:Set Chassis Power Control to \S+|Get Chassis Power Status|Get .*GUID.*) failed: (.+)$", re.MULTILINE)
WRONG_STATE = "Command not supported in present state"
# Only completion codes after which the BMC certainly did nothing; others, as "Timeout", stay ambiguous.
NOTHING_DONE = frozenset({
    "Node busy", "Invalid command", "Invalid command on LUN", "Parameter out of range", "Invalid data field in request",
    "Insufficient privilege level", WRONG_STATE, "Cannot execute command, command disabled",
})


class Ipmi:
    def __init__(self, settings: IpmiSettings) -> None:
        self._settings = settings

    def switch(self, power: Power, attempt: Attempt) -> None:
        self._require_identity(attempt)
        attempt.sending()
        result = self._run(attempt, "power", power.value)
        if result.returncode == 0:
            return
        error = _failure(result, attempt)
        # Some BMCs refuse to turn off what is off; any other reading makes it the refusal that it was.
        if WRONG_STATE not in str(error) or self._status(attempt) is not power:
            raise error

    def read(self, attempt: Attempt) -> Power:
        # A reading counts as proof of death, so it needs the right machine just as an order does.
        self._require_identity(attempt)
        return self._status(attempt)

    def look(self, attempt: Attempt) -> tuple[Power, str]:
        guid = self._require_identity(attempt) or self._guid_if_told(attempt)
        return self._status(attempt), f"uuid {in_one_order(guid)}" if tells_apart(guid) else ""

    def lets_anybody_in(self, attempt: Attempt) -> bool:
        """Does the BMC accept cipher 0, which asks for no password? Asked with a wrong one, so that yes means yes."""
        with _as_file("no-password") as descriptor:
            arguments = ["-C", "0", "-f", f"/dev/fd/{descriptor}", "power", "status"]
            result = process.run([*self._arguments(), *arguments], attempt, passed=[descriptor])
        return result.returncode == 0

    def _status(self, attempt: Attempt) -> Power:
        result = self._run(attempt, "power", "status")
        if result.returncode != 0:
            raise _failure(result, attempt)
        found = STATUS.search(result.stdout)
        return Power(found[1]) if found else Power.OTHER

    def _require_identity(self, attempt: Attempt) -> str:
        """The GUID that was expected and told; "" when none was expected."""
        expected = self._settings.uuid
        if not expected:
            return ""
        guid = self._guid(attempt)
        if not guid:
            raise Refused(f"{attempt.device}: this BMC does not tell its GUID; remove 'uuid' of host {self._settings.host}")
        if not same_guid(guid, expected):
            raise Refused(f"{attempt.device}: this BMC belongs to another machine (uuid {guid}, expected {expected})")
        return guid

    def _guid_if_told(self, attempt: Attempt) -> str:
        try:
            return self._guid(attempt)
        except LoginRefused:
            raise
        except Refused:
            return ""  # it has no such command: no fault of a device of which nobody expected it

    def _guid(self, attempt: Attempt) -> str:
        result = self._run(attempt, "mc", "guid")
        if result.returncode != 0:
            raise _failure(result, attempt)
        found = GUID.search(result.stdout)
        return found[1] if found else ""

    def _run(self, attempt: Attempt, *command: str) -> subprocess.CompletedProcess[str]:
        with _as_file(self._settings.secret.read()) as descriptor:
            return process.run([*self._arguments(), "-f", f"/dev/fd/{descriptor}", *command], attempt, passed=[descriptor])

    def _arguments(self) -> list[str]:
        s = self._settings
        return ["ipmitool", "-v", "-I", "lanplus", "-C", str(s.cipher), "-L", s.privilege, "-H", s.address, "-p", str(s.port),
                "-U", s.username, "-N", "1", "-R", str(retries(s.timeout_s))]


def retries(timeout_s: float) -> int:
    """The most tries with which a dead BMC is given up before the deadline, and not by it."""
    return max((r for r in (1, 2, 3, 4) if r * (r + 1) < timeout_s), default=1)


def same_guid(told: str, expected: str) -> bool:
    """IPMI, SMBIOS and RFC 4122 order the bytes of one GUID differently, and nothing says which one a BMC uses."""
    return bool(_readings(UUID(told)) & _readings(UUID(expected)))


def in_one_order(told: str) -> str:
    """The same for every order of its bytes: another ipmitool, or other firmware, is not another machine."""
    return str(UUID(bytes=min(_readings(UUID(told)))))


def _readings(guid: UUID) -> frozenset[bytes]:
    return frozenset({guid.bytes, guid.bytes_le, guid.bytes[::-1]})


@contextmanager
def _as_file(password: str) -> Iterator[int]:
    """A pipe with the password for one child: not in its arguments, not in its environment, not on disk."""
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, password.encode() + b"\n")  # fits into the pipe, so this never blocks
        finally:
            os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _failure(result: subprocess.CompletedProcess[str], attempt: Attempt) -> HanodeError:
    """What a failed ipmitool stands for: did the BMC say no, did it never hear us, or is that unknown?"""
    said = result.stdout + result.stderr
    if NO_SESSION in said:
        return _no_session(said, attempt)
    if (answer := ANSWER.search(said)) and answer[1].strip() in NOTHING_DONE:
        return Refused(f"{attempt.device}: {answer[0].strip()}")
    return attempt.unanswered(f"ipmitool failed: {process.last_line(said)}")


def _no_session(said: str, attempt: Attempt) -> HanodeError:
    # ipmitool sends no command before its session stands.
    login = LOGIN.search(said)
    reason = login[0].strip(" >") if login else "the BMC does not answer"
    if login and BUSY not in reason:
        return LoginRefused(f"{attempt.device}: login refused ({reason}); check username, password, privilege and cipher")
    return Unreachable(f"{attempt.device}: no session ({reason}); no order was sent")
