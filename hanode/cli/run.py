"""`hanode run`: the daemon, in the foreground."""

from __future__ import annotations

import argparse
import gc

from hanode.cli.base import Act

GARBAGE = (50_000, 20, 20)
"""How seldom Python looks for cycles, by generation. What is known of ten thousand hosts is half a million objects without any, and by
default it looks through them several times while one tick decides: almost half of the tick."""


class Run(Act):
    """Run the daemon in the foreground, as systemd does. SIGHUP reloads the configuration, SIGTERM hands over and ends.

    Exit code 2: the configuration is wrong, and starting again does not help.
    """

    example = "  hanode run --config-file /etc/hanode/hanode.conf"

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from hanode.daemon import main  # imports the OpenStack SDK, which the other commands need not wait for

        gc.set_threshold(*GARBAGE)
        return main(parsed_args.config_file)
