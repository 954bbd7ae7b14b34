"""How is the message bus told, as OpenStack's own services do? One versioned notification on TOPIC.info, TOPIC.warn or TOPIC.error.

An optional extra (`pip install hanode[messaging]`). oslo.messaging's own Notifier logs what could not be sent and goes on, so the
transport is asked itself: a message that nobody took is then tried again, like by every other channel.
"""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg

from hanode.adapters.notify.message import Sender, body_of, idempotency_key
from hanode.core.decisions import Level
from hanode.core.news import News
from hanode.errors import Ambiguous, ConfigError

PRIORITIES: Mapping[Level, str] = {Level.INFO: "info", Level.WARNING: "warn", Level.ALARM: "error"}
ENVELOPE = 2.0
"""The message format that `messagingv2` writes (oslo_messaging/notify/messaging.py)."""

VERSION = "1.0"
"""Of the payload; its minor part grows with every field that is added."""


@dataclass(frozen=True)
class MessagingSettings:
    url: str = field(repr=False)
    topic: str = "hanode"


def _bus() -> Any:
    """The library, over threads: by default it would load eventlet (oslo_service/backend), which hanode does not run on."""
    try:
        backend = importlib.import_module("oslo_service.backend")
        backend.init_backend(backend.BackendType.THREADING)
        return importlib.import_module("oslo_messaging")
    except (ImportError, ValueError) as error:
        raise ConfigError("[notifications] messaging_url needs oslo.messaging: pip install 'hanode[messaging]'") from error


class Messaging:
    """Connects when there is something to tell. One attempt at a time; the courier has a thread of its own."""

    name = "messaging"

    def __init__(self, settings: MessagingSettings, sender: Sender) -> None:
        """ConfigError when oslo.messaging is not installed, or knows no such transport."""
        self._settings, self._sender, self._bus = settings, sender, _bus()
        self._transport = self._opened()

    def _opened(self) -> Any:
        """No environment and no file of others: only what hanode.conf says."""
        conf = cfg.ConfigOpts()
        conf(args=[], project="hanode", default_config_files=[], default_config_dirs=[], use_env=False)
        try:
            return self._bus.get_notification_transport(conf, url=self._settings.url)
        except (self._bus.DriverLoadFailure, self._bus.InvalidTransportURL, ValueError) as error:
            # Its own words may hold the whole address, and so the password.
            said = type(error).__name__
            raise ConfigError(f"[notifications] messaging_url is none that oslo.messaging can use ({said}): write it as "
                              "rabbit://USER:PASSWORD@HOST:5672/") from error

    def deliver(self, news: News, ended: Callable[[], bool]) -> None:  # noqa: ARG002 - one attempt, which the transport itself ends
        priority = PRIORITIES[news.level]
        target = self._bus.Target(topic=f"{self._settings.topic}.{priority}")
        try:
            # Of the transport's own drivers only this tells whether it was sent; `retry=0`: the courier repeats.
            self._transport._send_notification(target, {}, self._message(news, priority), version=ENVELOPE, retry=0)
        except Exception as error:  # each driver raises what its library does: whatever it was, nobody knows who took it
            raise Ambiguous(_words(error)) from error

    def _message(self, news: News, priority: str) -> dict[str, Any]:
        """As `Notifier._notify` makes it; its id is equal for every attempt, so that a receiver can tell."""
        return {
            "message_id": str(uuid.UUID(idempotency_key(news, self._sender))), "publisher_id": f"hanode.{self._sender.host_id}",
            "event_type": f"hanode.{news.event}.{news.phase}", "priority": priority.upper(), "timestamp": news.at,
            "payload": {"hanode_object.name": "NewsPayload", "hanode_object.namespace": "hanode", "hanode_object.version": VERSION,
                        "hanode_object.data": json.loads(body_of(news, self._sender))},
        }


def _words(error: Exception) -> str:
    """By the name of what the driver's library raises: its own words may hold the whole address, and so the password."""
    name = type(error).__name__
    if name in {"AccessRefused", "NotAllowed"}:
        return f"the message bus refuses the login ({name}): look at user, password and vhost in [notifications] messaging_url"
    return f"the message bus did not take it: {name}"
