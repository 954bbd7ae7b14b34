"""The message bus by a real RabbitMQ: what a consumer gets, what becomes of a broker that dies, and of a wrong password."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from oslo_config import cfg

from hanode.adapters.notify.courier import Courier
from hanode.adapters.notify.message import Sender, body_of
from hanode.adapters.notify.messaging import Messaging, MessagingSettings
from hanode.core.decisions import Level
from hanode.core.news import Event, News, Phase
from hanode.errors import Ambiguous
from tests.contract import rabbit

backend = pytest.importorskip("oslo_service.backend", reason="an optional extra: pip install 'hanode[messaging]'")
backend.init_backend(backend.BackendType.THREADING)
oslo_messaging: Any = pytest.importorskip("oslo_messaging", reason="an optional extra: pip install 'hanode[messaging]'")

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not rabbit.is_installed(), reason="no RabbitMQ here: apt-get install rabbitmq-server"),
]

SENDER = Sender("one", "controller1")
LONG_S = 60.0
NEVER: Callable[[], bool] = lambda: False  # noqa: E731 - a name for what is passed


def news(number: int) -> News:
    key = f"incident/c{number}-1"
    return News(Event.INCIDENT, Phase.BEGINS, key, Level.ALARM, f"c{number}: is taken for failed", "2026-01-01T00:00:00Z", f"c{number}")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbit.Rabbit]:
    with rabbit.Rabbit(tmp_path_factory.mktemp("rabbit")) as found:
        yield found


class Consumer:
    """An endpoint of a notification listener, as any OpenStack service has it."""

    def __init__(self) -> None:
        self.got: Queue[tuple[str, str, dict[str, Any]]] = Queue()

    def error(self, _: object, publisher: str, event: str, payload: dict[str, Any], __: object) -> None:
        self.got.put((publisher, event, payload["hanode_object.data"]))


@pytest.fixture
def consumer(broker: rabbit.Rabbit) -> Iterator[Consumer]:
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[], default_config_dirs=[])
    found = Consumer()
    transport = oslo_messaging.get_notification_transport(conf, url=broker.url())
    listener = oslo_messaging.get_notification_listener(transport, [oslo_messaging.Target(topic="hanode")], [found], executor="threading")
    listener.start()
    yield found
    listener.stop()
    listener.wait()
    transport.cleanup()


def test_a_consumer_gets_what_was_told(broker: rabbit.Rabbit, consumer: Consumer) -> None:
    """By the same library as Nova's own notifications, so that their tools read ours; with the fields of the webhook."""
    Messaging(MessagingSettings(broker.url()), SENDER).deliver(news(1), NEVER)
    publisher, event, data = consumer.got.get(timeout=LONG_S)
    assert (publisher, event) == ("hanode.controller1", "hanode.incident.begins")
    assert data == json.loads(body_of(news(1), SENDER))


def test_a_wrong_password_is_told_as_such_and_not_shown(broker: rabbit.Rabbit) -> None:
    """Whoever changed it must find out before the night in which somebody should have been told."""
    channel = Messaging(MessagingSettings(broker.url("alsoverysecret")), SENDER)
    with pytest.raises(Ambiguous, match=r"refuses the login.*password") as caught:
        channel.deliver(news(2), NEVER)
    assert "alsoverysecret" not in str(caught.value)


def test_what_a_dead_broker_did_not_take_arrives_when_it_is_back(broker: rabbit.Rabbit, consumer: Consumer) -> None:
    """The incident that kills a broker is the one to be told of."""
    channel = Messaging(MessagingSettings(broker.url()), SENDER)
    courier = Courier(channel, frozenset({Event.INCIDENT}), give_up_s=5 * LONG_S, pauses_s=(0.5,))
    courier.tell(news(3))
    assert consumer.got.get(timeout=LONG_S)[2]["host"] == "c3"
    broker.stop()
    courier.tell(news(4))
    courier.tell(news(5))
    broker.start()
    assert [consumer.got.get(timeout=LONG_S)[2]["host"] for _ in range(2)] == ["c4", "c5"]
    assert courier.close(LONG_S)
