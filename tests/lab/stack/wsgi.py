"""How is a WSGI application of OpenStack served?

`wsgi.py MODULE:NAME PORT WORKERS THREADS`: gunicorn with threads, started from here because the
applications parse the server's own command line and die of its options.
"""

import importlib
import sys

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]


class Server(BaseApplication):
    """Each worker imports the application itself: their database pools must not be shared."""

    def __init__(self, application: str, options: dict[str, object]) -> None:
        self.application = application
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        module, _, name = self.application.partition(":")
        found = getattr(importlib.import_module(module), name.removesuffix("()"))
        return found() if name.endswith("()") else found


def main() -> None:
    application, port, workers, threads = sys.argv[1:]
    sys.argv = [application]
    options = {
        "bind": f"127.0.0.1:{port}",
        "workers": int(workers),
        "threads": int(threads),
        "worker_class": "gthread",
        # A first request may wait for minutes on a busy machine; a killed worker would help nobody.
        "timeout": 600,
        "keepalive": 75,
    }
    Server(application, options).run()


if __name__ == "__main__":
    main()
