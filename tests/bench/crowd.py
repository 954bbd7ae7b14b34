"""A large cloud that does nothing, over HTTP, which counts what is asked of it: `python -m tests.bench.crowd FILE HOSTS SERVERS`.

FILE is written like that of `hanode.sim.cloud`, with the address `asked`: how often each kind of request came, and how many bytes
it was answered with.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest import mock

from hanode.sim.cloud import EmbeddedCloud, server
from hanode.sim.cloud.http import HttpServer, Request, Response
from tests.bench.ticks import build

KINDS = (
    ("model refresh", ("/v2.1/os-hypervisors", "/v2.1/os-aggregates")),
    ("readiness tests", ("/redfish",)),
    ("login and versions", ("/identity", "/v2.1", "/")),
)
POLL = "/v2.1/os-services"
CAPACITY = ("/v2.1/servers", "/v2.1/os-server-groups", "/resource_providers", "/allocations", "/image", f"{POLL}?")

CALLS, BYTES = Counter[str](), Counter[str]()


def kind_of(path: str) -> str:
    if path == POLL:
        return "ticks"
    if path.startswith(CAPACITY):
        return "capacity"
    return next(name for name, begins in KINDS if path.startswith(begins))


class Counting(HttpServer):
    def _respond(self, handler: BaseHTTPRequestHandler) -> Response:
        response = super()._respond(handler)
        kind = kind_of(handler.path)
        CALLS[kind] += 1
        BYTES[kind] += len(json.dumps(response.body))
        return response


def asked(_: Request) -> Response:
    return Response(200, {kind: [CALLS[kind], BYTES[kind]] for kind in sorted(CALLS)})


def main() -> int:
    file, hosts, servers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    world, _ = build(hosts, 0)
    for number in range(servers):
        world.add_server(f"vm{number:06}", f"n{number % hosts:05}", ram_mb=512, disk_gb=5)
    counter = HttpServer(asked)
    with mock.patch.object(server, "HttpServer", Counting):
        cloud = EmbeddedCloud(world)
        urls = {**dataclasses.asdict(cloud.start()), "asked": counter.url}
    state = {
        "urls": urls, "credentials": cloud.credentials, "fencing_yaml": cloud.fencing_yaml(),
        "probe": {"port": 22, "banner": ""}, "report_interval_s": world.timings.report_interval_s,
    }  # fmt: skip
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(state))
    draft.replace(file)
    try:
        ended.wait()
    finally:
        counter.stop()
        cloud.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
