"""What does `python3 -m tests.lab.stack` do?"""

from __future__ import annotations

import argparse
import sys

from .layout import Lab
from .machine import FOREIGN
from .up import down, status, up


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="install what is missing and start a whole, empty cloud")
    start.add_argument(
        "--beside",
        action="append",
        default=[],
        choices=sorted(FOREIGN),
        help="start although this machine runs another one of these; may be repeated",
    )
    stop = commands.add_parser("down", help="end every process of the lab")
    stop.add_argument("--purge", action="store_true", help="and remove its directory")
    commands.add_parser("status", help="which services run")
    commands.add_parser("env", help='print the variables for a shell: eval "$(... env)"')
    arguments = parser.parse_args()
    lab = Lab.from_environment()
    if arguments.command == "up":
        up(lab, arguments.beside)
    elif arguments.command == "down":
        down(lab, arguments.purge)
    elif arguments.command == "status":
        return status(lab)
    elif not lab.path("openrc").exists():
        sys.exit("The lab is not up.")
    else:
        print(lab.path("openrc").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
