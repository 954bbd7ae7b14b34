"""`hanode notify`: does what is told reach people?"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from hanode.cli.base import OK, REFUSED, Act
from hanode.conf import build
from hanode.core.decisions import Level
from hanode.core.news import Event, News, Phase
from hanode.errors import HanodeError, Refused


class NotifyTest(Act):
    """Send a test notification by each channel of [notifications], once, and tell what became of it.

    Needs no daemon. Exit code 0: every channel took it. 1: one did not, or none is configured.
    """

    example = "  hanode notify test"

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from hanode.daemon import make_channels  # imports the OpenStack SDK, which the other commands need not wait for

        settings = build.load(parsed_args.config_file)
        with build.naming_files(settings):
            found = make_channels(settings)
        if not found:
            where = settings.where("notifications", "webhook_url")
            raise Refused(f"{where}, command and messaging_url are all unset: nobody is told anything")
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"a test of notifications from {settings.host_id}: nothing has happened"
        news = News(Event.TEST, Phase.TELLS, "test", Level.INFO, text, at)
        code = OK
        for channel in found:
            try:
                channel.deliver(news, lambda: False)
                print(f"{channel.name}: delivered", file=self.app.stdout)
            except HanodeError as error:
                print(f"{channel.name}: {error}", file=self.app.stderr)
                code = REFUSED
        return code
