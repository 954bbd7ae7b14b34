"""What is a store to the tests? A `ceph` that keeps its blocklist in a file, and an operator's three programs; with faults in files."""

from __future__ import annotations

import sys
from pathlib import Path

from hanode.adapters.fencing.cuts import Stores
from hanode.adapters.fencing.stores import BlocklistSettings, CommandStoreSettings, StoresConfig, StoreSettings

DOMAIN = "ceph-a"
HOST = "cn1"
ADDRESSES = ("10.0.1.11", "fd00::11")

CEPH = """#!PYTHON
import json, os, pathlib, sys, time
state = pathlib.Path("STATE")
fault = (state / "fault").read_text()
with (state / "argv").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
words = sys.argv[sys.argv.index("blocklist") + 1:]
if fault == "dead":
    sys.exit("Error connecting to cluster: TimedOut") if words[0] == "ls" else sys.exit(1)
if fault == "denied" and words[0] != "ls":
    print("Error EACCES: access denied", file=sys.stderr)
    sys.exit(13)
if fault == "hang" and words[0] != "ls":
    (state / "child").write_text(str(os.getpid()))
    time.sleep(1000)
if fault == "breaks" and words[0] == "add" and ":" in words[1]:
    sys.exit("Error: the connection was lost")
file = state / "list"
entries = json.loads(file.read_text())
entries = {addr: until for addr, until in entries.items() if until > int((state / "clock").read_text())}
if words[0] == "add" and fault != "lie":
    entries[words[1]] = int((state / "clock").read_text()) + int(words[2])
if words[0] == "rm":
    if words[1] not in entries:
        sys.exit("Error ENOENT: " + words[1] + " isn't blocklisted")
    del entries[words[1]]
file.write_text(json.dumps(entries))
if words[0] == "ls":
    if fault == "garbage":
        print("no json here")
        sys.exit(0)
    shown = [("[" + a + "]" if ":" in a else a) + ":0/0" for a in entries] + ["10.0.1.99:0/3710147553"]
    print(json.dumps([{"addr": a, "until": "2026-11-23T05:00:00.000000+0000"} for a in shown]))
    print("listed", len(shown), "entries", file=sys.stderr)
"""

PROGRAM = """#!/bin/sh
state=STATE
fault=$(cat $state/fault)
echo "$0 $*" >> $state/argv
[ "$fault" = dead ] && { echo 'no way to the filer' >&2; exit 4; }
case "$(basename $0)" in
    cut)
        [ "$fault" = denied ] && { echo 'not allowed' >&2; exit 3; }
        [ "$fault" = hang ] && { echo $$ > $state/child; exec sleep 1000; }
        [ "$fault" = lie ] || echo cut > $state/word;;
    restore) echo open > $state/word;;
    status)
        [ "$fault" = garbage ] && { echo 'perhaps'; exit 0; }
        echo "asked the filer about $1"; cat $state/word;;
esac
"""


class StoreDouble:
    """`settings` are the right ones for it."""

    settings: StoreSettings

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.put("fault", "none")

    def put(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def get(self, name: str) -> str:
        file = self.directory / name
        return file.read_text() if file.exists() else ""

    def program(self, name: str, text: str) -> Path:
        file = self.directory / name
        file.write_text(text.replace("PYTHON", sys.executable).replace("STATE", str(self.directory)))
        file.chmod(0o755)
        return file

    @property
    def stores(self) -> Stores:
        return Stores(StoresConfig({DOMAIN: self.settings}))

    def is_cut(self) -> bool:
        raise NotImplementedError

    def forget(self) -> None:
        raise NotImplementedError


class FakeCeph(StoreDouble):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.put("list", "{}")
        self.put("clock", "0")
        for name in ("ceph.conf", "keyring"):
            self.put(name, "")
            (directory / name).chmod(0o600)
        self.settings: BlocklistSettings = BlocklistSettings(
            DOMAIN, "fencing.yaml: storage.ceph-a", self.program("ceph", CEPH), "hanode", directory / "ceph.conf", directory / "keyring",
            {HOST: ADDRESSES}, proof=True, timeout_s=20.0,
        )

    def is_cut(self) -> bool:
        return all(f'"{address}"' in self.get("list") for address in ADDRESSES)

    def forget(self) -> None:
        self.put("clock", "1000000")


class FakeFiler(StoreDouble):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.put("word", "open")
        cut, restore, status = (str(self.program(name, PROGRAM)) for name in ("cut", "restore", "status"))
        self.settings = CommandStoreSettings(
            DOMAIN, "fencing.yaml: storage.ceph-a", (cut, "{host}", "{seconds}"), (restore, "{host}"), (status, "{host}"), "file",
            proof=True, expires_s=3600.0, timeout_s=20.0,
        )

    def is_cut(self) -> bool:
        return self.get("word").strip() == "cut"

    def forget(self) -> None:
        self.put("word", "open")
