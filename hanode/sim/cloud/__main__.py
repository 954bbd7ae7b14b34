"""How is the embedded cloud run as a process? `python -m hanode.sim.cloud --hosts 8 --state-file F`; SIGTERM ends it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import threading
from pathlib import Path

from hanode.sim.cloud import EmbeddedCloud, example_world


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    world = example_world(options.hosts, options.domains, options.servers, options.seed)
    cloud = EmbeddedCloud(world, options.speed, port=options.port, probe_port=options.probe_port)
    try:
        urls = cloud.start()
        state = {"pid": os.getpid(), "urls": dataclasses.asdict(urls), "credentials": cloud.credentials,
                 "fencing_yaml": cloud.fencing_yaml(), "probe": {"port": cloud.probe_port, "banner": "SSH-2.0"},
                 "report_interval_s": world.timings.report_interval_s}
        _write(options.state_file, json.dumps(state, indent=2))
        sys.stdout.write(f"embedded cloud: {options.hosts} hosts, {options.servers} servers, Keystone {urls.keystone}, "
                         f"control {urls.control}\n")
        sys.stdout.flush()
        ended.wait()
    finally:
        cloud.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hanode.sim.cloud", description="A simulated cloud over real HTTP.")
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--domains", type=int, default=2, help="storage domains that the hosts are divided into")
    parser.add_argument("--servers", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the world per real second")
    parser.add_argument("--port", type=int, default=0, help="of Keystone and the control; 0 takes a free one")
    parser.add_argument("--probe-port", type=int, default=0, help="where living hosts answer, on 127.0.2.N")
    parser.add_argument("--state-file", type=Path, required=True, help="urls and credentials are written here, as JSON")
    return parser


def _write(path: Path, text: str) -> None:
    """Readable for the owner only, because of the passwords; whoever waits for the file never sees half of it."""
    draft = path.with_name(path.name + ".part")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
