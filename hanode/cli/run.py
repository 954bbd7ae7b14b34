"""`hanode run`: the daemon, in the foreground."""

from __future__ import annotations

import argparse

from hanode.cli.base import Act


class Run(Act):
    """Run the daemon in the foreground, as systemd does. SIGHUP reloads the configuration, SIGTERM hands over and ends.

    Exit code 2: the configuration is wrong, and starting again does not help.
    """

    example = "  hanode run --config-file /etc/hanode/hanode.conf"

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from hanode.daemon import main  # imports the OpenStack SDK, which the other commands need not wait for

        return main(parsed_args.config_file)
