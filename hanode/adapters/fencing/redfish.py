"""How is a BMC spoken to over Redfish? By two requests of our own: the system is read, the reset is posted.

Who may do so is told with each request (basic), or once at the beginning for a token that is given back at the end (session).
Nothing is repeated here, no redirect is followed and no proxy or setting of the environment is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import InsecureRequestWarning, NewConnectionError

from hanode.adapters.fencing.attempt import Attempt, LoginRefused, in_thread
from hanode.adapters.fencing.identity import tells_apart
from hanode.adapters.fencing.settings import RedfishSettings
from hanode.core.facts import Power
from hanode.errors import HanodeError, Refused, Unreachable

# Said once, by FencingConfig.warnings, and not at each request.
warnings.simplefilter("ignore", InsecureRequestWarning)

CONNECT_S = 3.0
SESSIONS = "/redfish/v1/SessionService/Sessions"  # fixed by the standard
TOKEN = "X-Auth-Token"
STATES: Mapping[object, Power] = {"On": Power.ON, "Off": Power.OFF}  # all else, as PoweringOff and null, is OTHER
RESETS: Mapping[Power, str] = {Power.ON: "On", Power.OFF: "ForceOff"}

System = Mapping[str, Any]  # Any: JSON of a stranger; each field is checked where it is read


class Redfish:
    def __init__(self, settings: RedfishSettings) -> None:
        self._settings = settings

    def switch(self, power: Power, attempt: Attempt) -> None:
        in_thread(attempt, lambda: self._switch(power, attempt))

    def read(self, attempt: Attempt) -> Power:
        return in_thread(attempt, lambda: self._read(attempt))

    def look(self, attempt: Attempt) -> tuple[Power, str]:
        return in_thread(attempt, lambda: self._look(attempt))

    def _switch(self, power: Power, attempt: Attempt) -> None:
        with self._session(attempt) as session:
            target = self._reset_target(self._read_system(session, attempt))
            attempt.sending()
            response = self._post(session, target, {"ResetType": RESETS[power]}, attempt)
            status = response.status_code
            if 200 <= status < 300:
                return
            if not 400 <= status < 500:
                raise attempt.unanswered(f"answered {status} to the order")
            # Several BMCs answer 400 or 409 to turning off what is off.
            if status in {400, 409} and _power(self._read_system(session, attempt)) is power:
                return
            raise self._refusal(response)

    def _read(self, attempt: Attempt) -> Power:
        with self._session(attempt) as session:
            return _power(self._read_system(session, attempt))

    def _look(self, attempt: Attempt) -> tuple[Power, str]:
        with self._session(attempt) as session:
            system = self._read_system(session, attempt)
        uuid, serial = system.get("UUID"), system.get("SerialNumber")
        if isinstance(uuid, str) and tells_apart(uuid):
            return _power(system), f"uuid {uuid}"
        return _power(system), f"serial {serial}" if isinstance(serial, str) and serial.strip() else ""

    @contextmanager
    def _session(self, attempt: Attempt) -> Iterator[requests.Session]:
        s, password = self._settings, self._settings.secret.read()
        with requests.Session() as session:
            session.trust_env = False  # else REQUESTS_CA_BUNDLE would replace ca_file, and a proxy would see the password
            session.headers["OData-Version"] = "4.0"
            session.verify = str(s.ca_file) if s.ca_file else s.verify
            if not s.session:
                session.auth = HTTPBasicAuth(s.username.encode(), password.encode())  # as str it would be Latin-1
                yield session
                return
            place = self._log_in(session, password, attempt)
            try:
                yield session
            finally:
                # What was asked for is answered already; a session that is not given back ends by itself after minutes.
                with suppress(requests.RequestException, OSError):
                    session.delete(place, timeout=CONNECT_S, allow_redirects=False)

    def _log_in(self, session: requests.Session, password: str, attempt: Attempt) -> str:
        """Have a token for this session; the address at which it is given back."""
        s = self._settings
        response = self._post(session, s.url + SESSIONS, {"UserName": s.username, "Password": password}, attempt)
        token = response.headers.get(TOKEN)
        if response.status_code >= 500:
            raise attempt.unanswered(f"answered {response.status_code} to the login")
        if not 200 <= response.status_code < 300 or not token:
            raise self._login_refusal(response) if response.status_code in {400, 401, 403} else self._refusal(response)
        session.headers[TOKEN] = token
        # Only the path of what it tells: the token goes to no other machine.
        return s.url + urlsplit(response.headers.get("Location", SESSIONS)).path

    def _read_system(self, session: requests.Session, attempt: Attempt) -> System:
        """The configured system, which is proven to be the configured machine if that has an identity."""
        try:
            response = session.get(self._settings.url + self._settings.system, timeout=_timeout(attempt), allow_redirects=False)
        except (requests.RequestException, OSError) as error:
            raise self._translate(error, attempt) from error
        if response.status_code >= 500:
            raise attempt.unanswered(f"answered {response.status_code} to a read")
        if response.status_code != 200:
            raise self._refusal(response)
        system = _json(response)
        if "PowerState" not in system:
            raise Refused(f"{self._settings.device}: this is no ComputerSystem of Redfish; correct 'system'")
        self._require_identity(system)
        return system

    def _require_identity(self, system: System) -> None:
        s = self._settings
        if s.uuid and not _same_uuid(system.get("UUID"), s.uuid):
            raise self._stranger("uuid", system.get("UUID"), s.uuid)
        if s.serial and system.get("SerialNumber") != s.serial:
            raise self._stranger("serial", system.get("SerialNumber"), s.serial)

    def _stranger(self, what: str, told: object, expected: str) -> HanodeError:
        return Refused(f"{self._settings.device}: this BMC belongs to another machine ({what} {told}, expected {expected})")

    def _reset_target(self, system: System) -> str:
        """Where to post: as the system says, but never outside this very system."""
        s = self._settings
        actions = system.get("Actions")
        reset = actions.get("#ComputerSystem.Reset") if isinstance(actions, dict) else None
        told = reset.get("target") if isinstance(reset, dict) else None
        target = urlsplit(told if isinstance(told, str) else f"{s.system}/Actions/ComputerSystem.Reset")
        elsewhere = target.netloc and f"{target.scheme}://{target.netloc}".lower() != s.url
        if elsewhere or not target.path.startswith(s.system + "/") or ".." in target.path.split("/"):
            raise Refused(f"{s.device}: names a reset target outside of this system: {told}")
        return s.url + target.path

    def _post(self, session: requests.Session, path: str, body: Mapping[str, str], attempt: Attempt) -> requests.Response:
        try:
            return session.post(path, json=body, timeout=_timeout(attempt), allow_redirects=False)
        except (requests.RequestException, OSError) as error:
            raise self._translate(error, attempt) from error

    def _translate(self, error: Exception, attempt: Attempt) -> HanodeError:
        device = self._settings.device
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Refused(f"{device}: its certificate is not trusted, nothing was sent; set ca_file to its authority ({error})")
        if _never_connected(error):
            return Unreachable(f"{device}: no connection; no order was sent ({error})")
        return attempt.unanswered(str(error))

    def _refusal(self, response: requests.Response) -> HanodeError:
        s, status = self._settings, response.status_code
        if status == 401:
            return self._login_refusal(response)
        if status == 403:
            return Refused(f"{s.device}: refused user {s.username} (403); check password and role")
        if status == 404:
            return Refused(f"{s.device}: there is no such system or action (404); correct 'system'")
        if 300 <= status < 400:
            return Refused(f"{s.device}: redirects to {response.headers.get('Location')}; write the final url and system")
        return Refused(f"{s.device}: answered {status}: {_message(response)}")

    def _login_refusal(self, response: requests.Response) -> HanodeError:
        s = self._settings
        return LoginRefused(f"{s.device}: refused user {s.username} ({response.status_code}); check password and role")


def _power(system: System) -> Power:
    state = system.get("PowerState")
    return STATES.get(state, Power.OTHER) if isinstance(state, str) else Power.OTHER


def _timeout(attempt: Attempt) -> tuple[float, float]:
    attempt.check()
    remaining_s = max(attempt.remaining_s(), 0.01)  # 0 would mean a timeout of its own kind to the socket
    return min(CONNECT_S, remaining_s), remaining_s


def _never_connected(error: Exception) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)


def _same_uuid(told: object, expected: str) -> bool:
    try:
        return isinstance(told, str) and UUID(told) == UUID(expected)
    except ValueError:
        return False


def _json(response: requests.Response) -> System:
    try:
        content = response.json()
    except requests.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _message(response: requests.Response) -> str:
    """The BMC's own words, which sit at a depth that each vendor chose differently: all of it, cut short."""
    return " ".join(response.text.split())[:300] or "no reason given"
