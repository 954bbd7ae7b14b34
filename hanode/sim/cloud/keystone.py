"""Who may ask, and where are the services? Keystone's tokens and catalog, as far as a client with a password needs them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hanode.sim.cloud.http import HttpError, Request, Response, Route

USER_ID = "5f3c0de15f3c0de15f3c0de15f3c0de1"
USER, PASSWORD, PROJECT, REGION = "hanode", "embedded", "service", "embedded"
APPLICATION_CREDENTIAL, APPLICATION_SECRET = "embedded-credential", "embedded-secret"


class Keystone:
    """Tokens live in real time, whatever the speed of the world: clients compare them with their own clock."""

    def __init__(self, token_ttl_s: float = 3600.0) -> None:
        self._ttl_s = token_ttl_s
        self._ends: dict[str, float] = {}
        self._lock = threading.Lock()
        self.catalog: Mapping[str, str] = {}  # service type -> url
        self.expires_at: str | None = None  # password and application credential
        self.tells_expiry = True  # else a user may not read himself
        self.url = ""
        self.routes = (
            Route("GET", "/identity(?:/v3)?", self._version),
            Route("POST", "/identity/v3/auth/tokens", self._issue),
            Route("GET", "/identity/v3/users/([^/]+)", self._user),
            Route("GET", "/identity/v3/users/([^/]+)/application_credentials/([^/]+)", self._credential),
        )

    def require_token(self, request: Request) -> None:
        with self._lock:
            valid = self._ends.get(request.headers.get("x-auth-token", ""), 0.0) > time.monotonic()
        if not valid:
            raise HttpError(_unauthorized())

    def expire_tokens(self) -> None:
        with self._lock:
            self._ends.clear()

    def _version(self, _: Request) -> Response:
        return Response(200, {"version": {"id": "v3.14", "status": "stable", "media-types": [],
                                          "links": [{"rel": "self", "href": f"{self.url}/"}]}})

    def _user(self, request: Request, user_id: str) -> Response:
        self._let_in(request, user_id)
        return Response(200, {"user": {"id": USER_ID, "name": USER, "password_expires_at": self.expires_at}})

    def _credential(self, request: Request, user_id: str, credential_id: str) -> Response:
        self._let_in(request, user_id)
        return Response(200, {"application_credential": {"id": credential_id, "expires_at": self.expires_at}})

    def _let_in(self, request: Request, user_id: str) -> None:
        self.require_token(request)
        if user_id != USER_ID or not self.tells_expiry:
            raise HttpError(Response(403, {"error": {"code": 403, "message": "You are not authorized.", "title": "Forbidden"}}))

    def _issue(self, request: Request) -> Response:
        if not _is_known(request.body):
            return _unauthorized()
        token = uuid.uuid4().hex
        with self._lock:
            self._ends[token] = time.monotonic() + self._ttl_s
        return Response(201, {"token": self._token()}, {"X-Subject-Token": token})

    def _token(self) -> dict[str, Any]:
        now = datetime.now(UTC)
        domain = {"id": "default", "name": "Default"}
        return {
            "methods": ["password"], "issued_at": _stamp(now), "expires_at": _stamp(now + timedelta(seconds=self._ttl_s)),
            "user": {"id": USER_ID, "name": USER, "domain": domain},
            "project": {"id": PROJECT, "name": PROJECT, "domain": domain},
            "roles": [{"id": "admin", "name": "admin"}],
            "catalog": [_entry(service_type, url) for service_type, url in sorted(self.catalog.items())],
        }


def _is_known(body: Any) -> bool:
    try:
        identity = body["auth"]["identity"]
        if "application_credential" in identity["methods"]:
            given = identity["application_credential"]
            return (given["id"], given["secret"]) == (APPLICATION_CREDENTIAL, APPLICATION_SECRET)
        user = identity["password"]["user"]
        return (user["name"], user["password"]) == (USER, PASSWORD) and body["auth"]["scope"]["project"]["name"] == PROJECT
    except (KeyError, TypeError):
        return False


def _entry(service_type: str, url: str) -> dict[str, Any]:
    endpoints = [{"id": f"{service_type}-{interface}", "interface": interface, "region": REGION, "region_id": REGION, "url": url}
                 for interface in ("public", "internal", "admin")]
    return {"type": service_type, "id": service_type, "name": service_type, "endpoints": endpoints}


def _unauthorized() -> Response:
    return Response(401, {"error": {"code": 401, "message": "The request you have made requires authentication.",
                                    "title": "Unauthorized"}})


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
