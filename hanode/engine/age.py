"""How old is an operator's command? By this leader's own clock where that can tell, else by the two clocks of the machines.

A command that the leader did not find at its last look is younger than that look, whatever the clocks say. Only what it
finds at its very first look may have lain there for long: there the clocks of two machines meet, with a generous
allowance, and a refusal names both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from hanode.core.model import Age, Command, Moment

SKEW_S = 30.0
"""Controllers run NTP; a command must not be lost to a few seconds, and must not act an hour later."""

AGAIN = "give it again if you still mean it"


class Ages:
    """One per taking of office: a new leader cannot know what its predecessor had seen when."""

    def __init__(self) -> None:
        self._looked_s: float | None = None  # when the last look at the journal began
        self._younger_s: dict[str, float] = {}  # command -> it was certainly given after this moment

    def look(self, commands: Iterable[Command], looked: Moment) -> Mapping[str, Age]:
        """The age of each command that a look at the journal found, which began at `looked`."""
        found = tuple(commands)
        if self._looked_s is not None:
            fresh = (c.command_id for c in found if c.command_id not in self._younger_s)
            self._younger_s |= dict.fromkeys(fresh, self._looked_s)
        else:
            self._younger_s = dict.fromkeys((c.command_id for c in found), float("-inf"))
        self._looked_s = looked.s
        here = {c.command_id for c in found}
        self._younger_s = {key: since_s for key, since_s in self._younger_s.items() if key in here}
        return {c.command_id: self._age(c, looked) for c in found}

    def _age(self, command: Command, now: Moment) -> Age:
        since_s = self._younger_s[command.command_id]
        by_clocks_s = _by_clocks_s(command, now)
        if since_s == float("-inf"):
            return Age(expired=_expired_by_clocks(command, now, by_clocks_s))
        most_s = now.s - since_s
        apart_s = 0.0 if by_clocks_s is None or -SKEW_S <= by_clocks_s <= most_s + SKEW_S else by_clocks_s
        # The look before it was seen may have been a while ago; the allowance covers that as it covers the clocks.
        late = most_s > command.ttl_s + SKEW_S
        return Age(expired=f"it could not be judged for {most_s:.0f} s; {AGAIN}" if late else "", clocks_apart_s=apart_s)


def _by_clocks_s(command: Command, now: Moment) -> float | None:
    """How old it is if both clocks are right; None when its time cannot be read."""
    try:
        return (time_of(now.at) - time_of(command.at)).total_seconds()
    except ValueError:
        return None


def _expired_by_clocks(command: Command, now: Moment, age_s: float | None) -> str:
    if age_s is None:
        return f"nobody can read when it was given ({command.at!r}); {AGAIN}"
    if -SKEW_S <= age_s <= command.ttl_s + SKEW_S:
        return ""
    clocks = f"given at {command.at} by the clock where it was typed, found by a new leader at {now.at} by its own"
    return f"it was given too long ago, or one of two clocks is wrong ({clocks}); {AGAIN}"


def time_of(at: str) -> datetime:
    found = datetime.fromisoformat(at)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
