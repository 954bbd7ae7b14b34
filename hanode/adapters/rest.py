"""Was it done, refused, never delivered, or do we not know? One OpenStack service over HTTP, answers translated.

Nothing is ever repeated here. keystoneauth calls a read timeout a connect timeout and would repeat a POST after it, so
its retries are zero on every call; repeating is the engine's decision, after it has looked at the world again.
"""

from __future__ import annotations

import json
import logging
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from keystoneauth1 import adapter as keystone_adapter
from keystoneauth1 import exceptions as foreign
from urllib3 import exceptions as wire

from hanode import metrics
from hanode.errors import Ambiguous, HanodeError, Refused, Unreachable

LOG = logging.getLogger(__name__)

Json = Any  # what json.loads returns: parsed into facts at once, by functions that raise through `parsing`
Params = Mapping[str, str]
Microversion = tuple[int, ...]  # 2.95 is newer than 2.9


class Authenticator(Protocol):
    def authenticate(self) -> None:
        """Have a token or raise Refused or Unreachable."""
        ...


class NotFound(Refused):
    """The service itself (not a proxy in front of it) says that there is no such thing."""


class Conflict(Refused):
    """409: not now, in the state that it is in."""


class NoSuchService(Refused):
    """The catalog has no such service in this region and interface."""


class Rest:
    def __init__(self, authenticator: Authenticator, session: Any, service_type: str, *, major: str, region: str,
                 interface: Any, endpoint: str | None) -> None:
        self._authenticator = authenticator
        self._name = service_type
        self._where = f"{interface} endpoint of {service_type}" + (f" in region {region}" if region else "")
        self._adapter = keystone_adapter.Adapter(
            session, service_type=service_type, region_name=region or None, interface=interface,
            endpoint_override=endpoint, version=major or None)

    def get(self, path: str, *, microversion: str = "", params: Params | None = None) -> Json:
        """The body of a GET. Raises NotFound, Refused or Unreachable; a read may always be repeated."""
        with metrics.api_call(self._name, "GET"):
            response = self._send("GET", path, Unreachable, microversion=microversion, params=dict(params or {}))
        try:
            return response.json()
        except ValueError as error:
            raise Unreachable(f"{self._name} answered GET {path} with something that is not JSON") from error

    def offered(self) -> tuple[Microversion, Microversion]:
        """The oldest and the newest microversion, as the service itself says. Raises Refused or Unreachable."""
        self._authenticator.authenticate()
        try:
            found = self._adapter.get_endpoint_data()
        except foreign.ClientException as error:
            raise Unreachable(f"{self._name} does not tell its versions: {cause_of(error)}") from error
        if found is None:
            raise NoSuchService(f"Keystone's catalog has no {self._where}: check region_name and interface in group [keystone]")
        if not found.max_microversion:
            raise Unreachable(f"{self._name} at {found.url} tells no microversions")
        return tuple(found.min_microversion), tuple(found.max_microversion)

    def date(self, path: str, *, microversion: str) -> datetime:
        """The service's clock, to the second: the Date of an answer."""
        response = self._send("GET", path, Unreachable, microversion=microversion)
        with parsing(self._name, path):
            return parsedate_to_datetime(response.headers["Date"])

    def write(self, method: str, path: str, body: Json, *, microversion: str) -> None:
        """ONE request that changes something. Refused and Unreachable: nothing happened. Ambiguous: perhaps."""
        # redirect=False: keystoneauth would post again at the new place, even after "303: done, look there".
        with metrics.api_call(self._name, method):
            self._send(method, path, Ambiguous, microversion=microversion, json=body, redirect=False,
                       global_request_id=f"req-{uuid.uuid4()}")

    def pages(self, path: str, key: str, marker: Callable[[Json], str], *, microversion: str = "",
              params: Params | None = None, links: str = "") -> list[Json]:
        """All items of a list. A page that fails makes the whole read fail; so does one that repeats itself."""
        items: list[Json] = []
        seen: set[str] = set()
        query = dict(params or {})
        while True:
            page = self.get(path, microversion=microversion, params=query)
            with parsing(self._name, path):
                items.extend(page[key])
                if not (page[key] and _has_next(page, links or f"{key}_links")):
                    return items
                query["marker"] = marker(page[key][-1])
            if query["marker"] in seen:
                raise Unreachable(f"{self._name} repeats a page of {path}: the list cannot be read to its end")
            seen.add(query["marker"])

    def _send(self, method: str, path: str, doubt: type[HanodeError], *, microversion: str, **options: Any) -> Any:
        """`doubt` is what to raise when the request may have arrived.

        A 401 is answered by keystoneauth with a new token and the same request once more. That is safe even for a POST:
        the middleware that says 401 sits in front of the service, which has then not seen the request.
        """
        # The token comes first: when Keystone fails here, the service has certainly seen nothing.
        self._authenticator.authenticate()
        what = f"{method} {path}"
        try:
            response = self._adapter.request(
                path, method, microversion=microversion or None, raise_exc=False, log=False,
                connect_retries=0, status_code_retries=0, **options)
        except foreign.EndpointNotFound as error:
            raise NoSuchService(f"Keystone's catalog has no {self._where}: "
                                "check region_name and interface in group [keystone]") from error
        except foreign.ClientException as error:
            kind = Unreachable if never_connected(error) else doubt
            sent_as = options.get("global_request_id")
            raise kind(f"{self._name} did not answer {what}: {cause_of(error)}" + _tag(sent_as)) from error
        request_id = response.headers.get("x-openstack-request-id", "")
        LOG.debug("%s %s: %s in %.3f s%s", self._name, what, response.status_code, response.elapsed.total_seconds(),
                  _tag(request_id))
        if 200 <= response.status_code < 300:
            return response
        raise self._failure(response, what, doubt, request_id)

    def _failure(self, response: Any, what: str, doubt: type[HanodeError], request_id: str) -> HanodeError:
        status = response.status_code
        message, is_openstack = _message(response)
        text = f"{self._name} answered {what} with {status}: {message}" + _tag(request_id)
        # 408 is a proxy's timeout; a redirect is not followed for writes. Neither says that nothing happened.
        if status >= 500 or status < 400 or status == 408:
            return doubt(text)
        if status in {401, 403}:
            return Refused(f"{text}. Give the user of group [keystone] the admin role on its project, "
                           f"or allow it this call in the policy of {self._name}")
        if status == 404:
            return NotFound(text) if is_openstack else doubt(text)
        return Conflict(text) if status == 409 else Refused(text)


@contextmanager
def parsing(service: str, path: str) -> Iterator[None]:
    """An answer that lacks what we need is a failed read, never a fact with holes."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Unreachable(f"{service} answered {path} with something unexpected: {type(error).__name__} {error}") from error


def never_connected(error: BaseException) -> bool:
    """True when the connection was certainly never made, so that the request cannot have been delivered."""
    return any(isinstance(link, wire.NewConnectionError | wire.ConnectTimeoutError | ssl.SSLCertVerificationError)
               for link in _links(error))


def cause_of(error: BaseException) -> str:
    """The innermost sentence of a chain of wrapped network errors."""
    texts = [str(link) for link in _links(error) if str(link)]
    return texts[-1] if texts else type(error).__name__


def _links(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those wrapped in it: keystoneauth chains them, requests and urllib3 pass them as arguments."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = [link.__cause__ or link.__context__, getattr(link, "reason", None), *link.args]
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def _has_next(page: Json, links: str) -> bool:
    """Glance gives one address, the others a list of links. Its address is not followed: a proxy may have another."""
    found = page.get(links) or ()
    return bool(found) if isinstance(found, str) else any(link["rel"] == "next" for link in found)


def _message(response: Any) -> tuple[str, bool]:
    """The service's own words, and whether it was an OpenStack service that spoke."""
    try:
        body = response.json()
    except ValueError:
        return response.reason or "no reason given", False
    if isinstance(body, dict):
        errors = body.get("errors")  # Placement
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            return str(errors[0].get("detail", "")).strip(), True
        if "error_message" in body:  # Ironic, whose message may be JSON once more
            return _faultstring(body["error_message"]), True
        for value in body.values():  # Nova: {"badRequest": {"code": 400, "message": "..."}}
            if isinstance(value, dict) and "message" in value:
                return str(value["message"]), True
    return response.reason or "no reason given", False


def _tag(request_id: object) -> str:
    return f" (request {request_id})" if request_id else ""


def _faultstring(message: Json) -> str:
    """Ironic's error_message is a text, a mapping, or a mapping written as a text (pecan and wsme of several ages)."""
    if isinstance(message, str):
        with suppress(ValueError):
            message = json.loads(message)
    return str(message.get("faultstring", message)) if isinstance(message, dict) else str(message)
