"""How old is an operator's command? The one place where clocks of two machines meet, with a generous allowance."""

from __future__ import annotations

from datetime import UTC, datetime

from hanode.core.model import Command, Moment

SKEW_S = 30.0
"""Controllers run NTP; a command must not be lost to a few seconds, and must not act an hour later."""


def is_expired(command: Command, now: Moment) -> bool:
    """A command whose time cannot be read is expired: it must be given again rather than guessed."""
    try:
        age_s = (time_of(now.at) - time_of(command.at)).total_seconds()
    except ValueError:
        return True
    return not -SKEW_S <= age_s <= command.ttl_s + SKEW_S


def time_of(at: str) -> datetime:
    found = datetime.fromisoformat(at)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
