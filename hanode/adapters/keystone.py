"""Who are we to the cloud? One authenticated session, made from explicit options and from nothing else.

Neither `OS_*` variables nor a user's clouds.yaml, proxy variables or .netrc can leak in: a daemon that powers hosts off
must not be pointed at another cloud by the shell that started it.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from keystoneauth1 import exceptions as foreign
from keystoneauth1 import session as keystone_session
from openstack.config import OpenStackConfig
from openstack.exceptions import SDKException

import hanode
from hanode.adapters.expiry import Expiry, moment
from hanode.adapters.rest import Rest, cause_of, parsing
from hanode.errors import ConfigError, HanodeError, Refused, Unreachable

# The SDK warns of a library that it could use for metrics, each time; nobody asked it for metrics.
warnings.filterwarnings("ignore", message="Support for InfluxDB")

APPLICATION_CREDENTIAL, PASSWORD = "application_credential", "password"
"""What we log in by, as a label."""

CONNECTIONS = 64
"""Kept open per service address; more concurrent calls than that open connections of their own."""


@dataclass(frozen=True)
class Credentials:
    """The options of group [keystone]. Either the fields, or `cloud` in the file `clouds_file`."""

    auth_url: str = ""
    username: str = ""
    password: str = ""
    project: str = ""
    user_domain: str = "Default"
    project_domain: str = "Default"
    application_credential_id: str = ""
    application_credential_secret: str = ""
    region: str = ""
    interface: str = "internal"
    cacert: str = ""
    verify: bool = True
    timeout_s: float = 30.0
    clouds_file: str = ""
    cloud: str = ""

    def __repr__(self) -> str:
        # The generated one would print the secrets into the first traceback.
        return f"Credentials({self.cloud or self.auth_url!r}, {self.who})"

    @property
    def who(self) -> str:
        if self.cloud:
            return f"cloud {self.cloud!r} of {self.clouds_file}"
        if self.application_credential_id:
            return f"application credential {self.application_credential_id!r}"
        return f"user {self.username!r} of project {self.project!r}"


class Keystone:
    """One session for all services; safe to use from many threads."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._region = _load(credentials)
        self._session: Any = self._region.get_session()
        self.auth_url = str(self._region.config.get("auth", {}).get("auth_url", credentials.auth_url)).rstrip("/")
        self.region = str(self._region.get_region_name() or "")
        # By the address at which we log in: who is let in there need not be let in at another of its endpoints.
        self._identity = Rest(self, self._session, "identity", major="", region="", interface=credentials.interface,
                              endpoint=self.auth_url if self.auth_url.endswith("/v3") else f"{self.auth_url}/v3")

    def identity(self) -> str:
        return f"{self.auth_url} {self.region}".strip()

    def rest(self, service_type: str, *, major: str = "") -> Rest:
        """The door to one service of the catalog. No network."""
        return Rest(self, self._session, service_type, major=major, region=self.region,
                    interface=self._region.get_interface(service_type) or self._credentials.interface,
                    endpoint=self._region.get_endpoint(service_type))

    def catalogue(self) -> frozenset[str]:
        """The types of all services that Keystone knows, ours or not."""
        self.authenticate()
        access = self._session.auth.get_access(self._session)
        return frozenset(entry["type"] for entry in access.service_catalog.catalog)

    def roles(self) -> frozenset[str]:
        """The roles that our token has."""
        self.authenticate()
        return frozenset(self._session.auth.get_access(self._session).role_names)

    def read_expiry(self) -> Expiry:
        """Of what we log in by: an application credential, or a password. Who may not read it of himself is told so: it is no error."""
        what, path, where = self._login()
        try:
            self.authenticate()
            path = path.format(user=self._session.get_user_id())
            with parsing("Keystone", path):
                (body,) = self._identity.get(path).values()
                return Expiry(what, where, moment(body["expires_at" if what == APPLICATION_CREDENTIAL else "password_expires_at"]))
        except HanodeError as error:
            return Expiry(what, where, unknown=str(error))

    def _login(self) -> tuple[str, str, str]:
        auth = self._region.config.get("auth", {})
        credential = auth.get("application_credential_id", "")
        if credential:
            return APPLICATION_CREDENTIAL, f"/users/{{user}}/application_credentials/{credential}", self._credentials.who
        return PASSWORD, "/users/{user}", self._credentials.who

    def authenticate(self) -> None:
        """Have a valid token, asking Keystone only when there is none. Nothing but Keystone is ever written to here."""
        try:
            self._session.get_token()
        except (foreign.Unauthorized, foreign.Forbidden, foreign.BadRequest, foreign.NotFound) as error:
            raise Refused(f"Keystone at {self.auth_url} refused {self._credentials.who}: {error}. Check auth_url, the user, "
                          "its password, its project and the domains in group [keystone]") from error
        except foreign.ClientException as error:
            raise Unreachable(f"Keystone at {self.auth_url} does not answer: {cause_of(error)}. "
                              "Check auth_url and cafile in group [keystone], and Keystone itself") from error


def _load(credentials: Credentials) -> Any:
    """The SDK's view of the cloud: a named one of one named file, or exactly the given options."""
    if credentials.cloud and not Path(credentials.clouds_file).is_file():
        raise ConfigError(f"[keystone] clouds_file {credentials.clouds_file!r} is not a file: cloud {credentials.cloud!r} "
                          "is looked up there and nowhere else")
    if not credentials.cloud and not credentials.auth_url:
        raise ConfigError("[keystone] auth_url is empty: give auth_url, username, password and project, "
                          "or clouds_file and cloud")
    files = [credentials.clouds_file] if credentials.cloud else []
    try:
        return OpenStackConfig(
            config_files=files, secure_files=[], vendor_files=[], load_yaml_config=bool(files), load_envvars=False,
            app_name="hanode", app_version=hanode.__version__,
            session_constructor=functools.partial(keystone_session.Session, session=_connections()),
        ).get_one(**_options(credentials))
    except (SDKException, foreign.ClientException) as error:
        raise ConfigError(f"[keystone] cannot use {credentials.who}: {error}") from error


def _options(credentials: Credentials) -> dict[str, Any]:
    common = {"api_timeout": credentials.timeout_s, "region_name": credentials.region or None}
    if credentials.cloud:
        return {"cloud": credentials.cloud} | {key: value for key, value in common.items() if value}
    kind, auth = _auth(credentials)
    return common | {"auth_type": kind, "auth": auth, "interface": credentials.interface,
                     "cacert": credentials.cacert or None, "verify": credentials.verify}


def _auth(credentials: Credentials) -> tuple[str, dict[str, str]]:
    url = credentials.auth_url.rstrip("/")
    auth_url = url if url.endswith("/v3") else url + "/v3"
    if credentials.application_credential_id:
        return "v3applicationcredential", {
            "auth_url": auth_url,
            "application_credential_id": credentials.application_credential_id,
            "application_credential_secret": credentials.application_credential_secret,
        }
    return "v3password", {
        "auth_url": auth_url, "username": credentials.username, "password": credentials.password,
        "project_name": credentials.project, "user_domain_name": credentials.user_domain,
        "project_domain_name": credentials.project_domain,
    }


def _connections() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, keystone_session.TCPKeepAliveAdapter(pool_maxsize=CONNECTIONS))
    return session
