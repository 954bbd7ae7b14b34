"""Telling people's tools what hanode does: a webhook, a command, OpenStack's message bus."""

from __future__ import annotations

from collections.abc import Sequence

from hanode.adapters.notify.command import Command, CommandSettings
from hanode.adapters.notify.courier import Channel, Courier, Couriers
from hanode.adapters.notify.message import Sender
from hanode.adapters.notify.messaging import Messaging, MessagingSettings
from hanode.adapters.notify.webhook import Webhook, WebhookSettings

__all__ = ["Channel", "channels", "open_notifier"]


def channels(
    sender: Sender, *, url: str, secret: str, ca_file: str, command: Sequence[str], timeout_s: float, bus: str, topic: str
) -> list[Channel]:
    """The channels that are configured; ConfigError when one cannot be."""
    found: list[Channel] = []
    if url:
        found.append(Webhook(WebhookSettings(url, secret, ca_file, timeout_s), sender))
    if command:
        found.append(Command(CommandSettings(tuple(command), timeout_s), sender))
    if bus:
        found.append(Messaging(MessagingSettings(bus, topic), sender))
    return found


def open_notifier(found: Sequence[Channel], events: frozenset[str], give_up_s: float) -> Couriers:
    """Nothing is connected before there is something to tell."""
    return Couriers([Courier(channel, events, give_up_s) for channel in found])
