"""What does a message look like? One JSON object, the same for every channel."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from hanode.core.news import News

FORMAT = 1


@dataclass(frozen=True)
class Sender:
    """Who tells, beside what is told."""

    cluster_id: str
    host_id: str


def body_of(news: News, sender: Sender) -> bytes:
    """ASCII only, on one line: whatever a tenant named an instance cannot break a receiver's log."""
    fields = {
        "format": FORMAT, "event": news.event, "phase": news.phase, "level": news.level, "key": f"{sender.cluster_id}/{news.key}",
        "text": news.text, "host": news.host, "incident": news.incident, "at": news.at, "open": list(news.is_open),
        "cluster_id": sender.cluster_id, "told_by": sender.host_id,
    }
    return json.dumps(fields, sort_keys=True).encode("ascii")


def idempotency_key(news: News, sender: Sender) -> str:
    """Equal for every delivery of the same news by the same daemon; letters and digits only."""
    return hashlib.sha256(body_of(news, sender)).hexdigest()[:32]
