"""`python -m hanode` is `hanode`."""

from __future__ import annotations

import sys

from hanode.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
