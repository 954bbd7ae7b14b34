"""Which machine does a device say that it belongs to, and is that worth remembering?"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hanode.adapters.fencing.settings import IpmiSettings, IronicSettings, RedfishSettings, Settings

BLANK = frozenset({UUID(int=0), UUID(int=2**128 - 1)})
"""What a board says that nobody has given a UUID."""


def tells_apart(uuid: str) -> bool:
    """Is this the UUID of one machine?"""
    try:
        return UUID(uuid) not in BLANK
    except ValueError:
        return False


def expecting(settings: Settings, identity: str) -> Settings:
    """The settings by which only the machine of this identity is spoken to; what the operator configured wins."""
    kind, _, value = identity.partition(" ")
    if not value or is_configured(settings) or not isinstance(settings, IpmiSettings | RedfishSettings | IronicSettings):
        return settings
    if kind == "serial" and isinstance(settings, RedfishSettings):
        return replace(settings, serial=value)
    return replace(settings, uuid=value) if kind == "uuid" else settings


def is_configured(settings: Settings) -> bool:
    if isinstance(settings, RedfishSettings):
        return bool(settings.uuid or settings.serial)
    if isinstance(settings, IronicSettings):
        return bool(settings.uuid or settings.instance_uuid)
    return isinstance(settings, IpmiSettings) and bool(settings.uuid)
