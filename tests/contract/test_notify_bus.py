"""The message bus, by oslo.messaging's own in-memory transport: what a consumer of notifications gets, and what becomes of a dead bus."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from oslo_config import cfg

from hanode.adapters.notify import channels
from hanode.adapters.notify.message import Sender, body_of
from hanode.adapters.notify.messaging import Messaging, MessagingSettings
from hanode.core.decisions import Level
from hanode.core.news import Event, News, Phase
from hanode.errors import Ambiguous, ConfigError

backend = pytest.importorskip("oslo_service.backend", reason="an optional extra: pip install 'hanode[messaging]'")
backend.init_backend(backend.BackendType.THREADING)
oslo_messaging: Any = pytest.importorskip("oslo_messaging", reason="an optional extra: pip install 'hanode[messaging]'")

SENDER = Sender("one", "controller1")
LONG_S = 60.0
NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - a name for what is passed


def news(level: Level = Level.ALARM) -> News:
    return News(Event.INCIDENT, Phase.BEGINS, "incident/c1-1", level, "c1: is taken for failed", "2026-01-01T00:00:00Z", "c1", "c1-1")


class Consumer:
    """An endpoint of a notification listener, as any OpenStack service has it."""

    def __init__(self) -> None:
        self.got: Queue[tuple[str, str, str, dict[str, Any], str]] = Queue()

    def _take(self, priority: str, publisher: str, event: str, payload: dict[str, Any], metadata: dict[str, str]) -> None:
        self.got.put((priority, publisher, event, payload, metadata["message_id"]))

    def info(self, _: object, publisher: str, event: str, payload: dict[str, Any], metadata: dict[str, str]) -> None:
        self._take("info", publisher, event, payload, metadata)

    def warn(self, _: object, publisher: str, event: str, payload: dict[str, Any], metadata: dict[str, str]) -> None:
        self._take("warn", publisher, event, payload, metadata)

    def error(self, _: object, publisher: str, event: str, payload: dict[str, Any], metadata: dict[str, str]) -> None:
        self._take("error", publisher, event, payload, metadata)


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[], default_config_dirs=[])
    found = Consumer()
    transport = oslo_messaging.get_notification_transport(conf, url="fake://")
    listener = oslo_messaging.get_notification_listener(transport, [oslo_messaging.Target(topic="hanode")], [found], executor="threading")
    listener.start()
    yield found
    listener.stop()
    listener.wait()


@pytest.mark.parametrize(("level", "priority"), [(Level.INFO, "info"), (Level.WARNING, "warn"), (Level.ALARM, "error")])
def test_a_consumer_gets_a_versioned_notification(consumer: Consumer, level: Level, priority: str) -> None:
    """By the priority that tools of OpenStack filter by, with the same fields as the webhook."""
    (channel,) = channels(SENDER, url="", secret="", ca_file="", command=(), timeout_s=5.0, bus="fake://", topic="hanode")
    channel.deliver(news(level), NEVER)
    heard, publisher, event, payload, _ = consumer.got.get(timeout=LONG_S)
    assert (heard, publisher, event) == (priority, "hanode.controller1", "hanode.incident.begins")
    assert (payload["hanode_object.name"], payload["hanode_object.version"]) == ("NewsPayload", "1.0")
    assert payload["hanode_object.data"] == json.loads(body_of(news(level), SENDER))


def test_every_attempt_carries_the_same_id(consumer: Consumer) -> None:
    """What was sent and not confirmed is sent again, and a consumer knows it."""
    channel = Messaging(MessagingSettings("fake://"), SENDER)
    for _ in range(2):
        channel.deliver(news(), NEVER)
    assert consumer.got.get(timeout=LONG_S)[4] == consumer.got.get(timeout=LONG_S)[4]


def test_a_bus_that_does_not_answer_is_tried_again_by_the_courier() -> None:
    """oslo.messaging's own Notifier would log it and forget it. The address holds a password, and is in no error."""
    channel = Messaging(MessagingSettings("rabbit://hanode:verysecret@127.0.0.1:9/"), SENDER)
    with pytest.raises(Ambiguous, match="the message bus did not take it") as caught:
        channel.deliver(news(), NEVER)
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nosuch://hanode:verysecret@host/", "verysecret"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    """Without showing it."""
    with pytest.raises(ConfigError, match=r"\[notifications\] messaging_url is none that oslo.messaging can use") as caught:
        Messaging(MessagingSettings(url), SENDER)
    assert "verysecret" not in str(caught.value)


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that starts and then tells nobody would be found out too late."""
    monkeypatch.setitem(sys.modules, "oslo_messaging", None)
    with pytest.raises(ConfigError, match=r"pip install 'hanode\[messaging\]'"):
        Messaging(MessagingSettings("fake://"), SENDER)
