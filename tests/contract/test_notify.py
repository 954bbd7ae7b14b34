"""Notifications over real HTTP and to real programs: slow, failing, refusing, gone and encrypted receivers."""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hanode.adapters.notify import channels, open_notifier
from hanode.adapters.notify.command import Command, CommandSettings
from hanode.adapters.notify.courier import QUEUE, Channel, Courier, Couriers
from hanode.adapters.notify.message import Sender
from hanode.adapters.notify.webhook import Webhook, WebhookSettings, signature
from hanode.cli.main import main
from hanode.core.decisions import Level
from hanode.core.news import Event, News, Phase
from hanode.errors import Ambiguous, ConfigError, HanodeError, Refused, Unreachable
from hanode.metrics import REGISTRY
from hanode.sim.etcd import free_ports
from tests.web.locks import certificate

SENDER = Sender("cloud1", "controller1")
NEWS = News(Event.INCIDENT, Phase.BEGINS, "incident/c1-1", Level.ALARM, "c1: is taken for failed", "2026-01-01T00:00:00Z", "c1", "c1-1")
ALL = frozenset(str(event) for event in Event)
LIMIT_S = 60.0
SECRET = "s3cr3t-of-the-receiver"


@dataclass
class Receiver:
    """A real HTTP server. `answers`: the status of each request to come, the last one for ever; 0: no answer until the end."""

    answers: list[int] = field(default_factory=lambda: [204])
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    heard: threading.Condition = field(default_factory=threading.Condition)
    over: threading.Event = field(default_factory=threading.Event)

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        with self.heard:
            self.bodies.append(body)
            self.headers.append(headers)
            self.heard.notify_all()
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def wait_for(self, count: int) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.bodies) >= count, LIMIT_S), f"{len(self.bodies)} of {count} arrived"


@contextmanager
def receiving(answers: list[int], tls: tuple[str, str] | None = None, location: str = "") -> Iterator[Receiver]:
    receiver = Receiver(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = receiver.take(self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers))
            if not status:
                receiver.over.wait(LIMIT_S)
                return
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/hook/T0K3N"
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join(LIMIT_S)
        server.server_close()


def webhook(url: str, ca_file: str = "", timeout_s: float = 30.0) -> Webhook:
    return Webhook(WebhookSettings(url, SECRET, ca_file, timeout_s), SENDER)


def courier(channel: Channel, give_up_s: float = 3600.0, events: frozenset[str] = ALL) -> Courier:
    return Courier(channel, events, give_up_s, pauses_s=(0.01,))


def count(outcome: str, channel: str = "webhook") -> float:
    return REGISTRY.get_sample_value("hanode_notifications_total", {"channel": channel, "outcome": outcome}) or 0.0


def never() -> bool:
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(LIMIT_S / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in time")


# --------------------------------------------------------------------------- one delivery


def test_a_receiver_can_tell_who_speaks_and_when() -> None:
    """Whoever reaches the receiver could otherwise tell people that the cloud is well."""
    with receiving([200]) as receiver:
        webhook(receiver.url).deliver(NEWS, never)
    (headers,), (body,) = receiver.headers, receiver.bodies
    assert headers["X-Hanode-Signature"] == signature(SECRET, headers["X-Hanode-Timestamp"], body)
    assert signature(SECRET, "0", body) != headers["X-Hanode-Signature"], "an old message with a new time is not believed"
    told = json.loads(body)
    assert (told["event"], told["phase"], told["key"]) == ("incident", "begins", "cloud1/incident/c1-1")
    assert told["host"] == "c1" and told["told_by"] == "controller1"


@pytest.mark.parametrize(("status", "error"), [
    (500, Unreachable), (503, Unreachable), (429, Unreachable), (400, Refused), (401, Refused), (410, Refused)])
def test_an_answer_says_whether_to_try_again(status: int, error: type[HanodeError]) -> None:
    """Trying again what was refused hides what waits behind it; giving up what was only busy loses it."""
    with receiving([status]) as receiver, pytest.raises(error) as caught:
        webhook(receiver.url).deliver(NEWS, never)
    assert str(status) in str(caught.value) and "T0K3N" not in str(caught.value)


def test_a_redirect_is_not_followed() -> None:
    """Names of instances go where the operator wrote, and nowhere else."""
    with receiving([200]) as other, receiving([307], location=other.url) as receiver:
        with pytest.raises(Refused, match="307"):
            webhook(receiver.url).deliver(NEWS, never)
        assert other.bodies == []


def test_a_receiver_that_does_not_answer_costs_one_timeout() -> None:
    """It may have heard: it is told again, and knows the repetition by its idempotency key."""
    with receiving([0]) as receiver, pytest.raises(Ambiguous) as caught:
        webhook(receiver.url, timeout_s=0.3).deliver(NEWS, never)
    assert "T0K3N" not in str(caught.value)


def test_nobody_there_is_no_delivery_and_no_leak() -> None:
    """The address of a chat system holds a token: it must not stand in the log."""
    (port,) = free_ports(1)
    with pytest.raises(Unreachable) as caught:
        webhook(f"http://127.0.0.1:{port}/hook/T0K3N?key=T0K3N").deliver(NEWS, never)
    assert "T0K3N" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_over_tls_only_a_trusted_receiver_is_told(tmp_path: Path) -> None:
    """A stranger with another certificate learns nothing."""
    trusted, other = certificate(tmp_path, "trusted"), certificate(tmp_path, "other")
    with receiving([200], tls=trusted) as receiver:
        webhook(receiver.url, ca_file=trusted[0]).deliver(NEWS, never)
        with pytest.raises(Unreachable):
            webhook(receiver.url, ca_file=other[0]).deliver(NEWS, never)
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("url", ["ftp://x/", "controller:99", "http://", "http://[::1", "http://x:port/"])
def test_an_address_that_is_none_is_named_at_start(url: str) -> None:
    """And is not repeated: it may hold a token."""
    with pytest.raises(ConfigError, match="webhook_url"):
        webhook(url)


# --------------------------------------------------------------------------- a program


def program(tmp_path: Path, script: str) -> list[str]:
    file = tmp_path / "tell"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return [str(file), "--from", "hanode"]


def command(tmp_path: Path, script: str, timeout_s: float = 30.0) -> Command:
    return Command(CommandSettings(program(tmp_path, script), timeout_s), SENDER)


def test_a_program_reads_the_news_from_its_input_alone(tmp_path: Path) -> None:
    """Arguments are seen by everybody on the machine, and are what shells trip over."""
    hostile = replace(NEWS, text="$(touch PWNED) `id`; \n\x1b[2J <script>")
    command(tmp_path, f'cd {tmp_path}; cat > told; echo "$@" > arguments').deliver(hostile, never)
    assert json.loads((tmp_path / "told").read_text())["text"] == hostile.text
    assert (tmp_path / "told").read_text().count("\n") == 1, "one line, whatever is in it"
    assert (tmp_path / "arguments").read_text() == "--from hanode\n"
    assert not (tmp_path / "PWNED").exists()


def test_a_program_that_fails_is_tried_again(tmp_path: Path) -> None:
    """Its last line says why."""
    with pytest.raises(Ambiguous, match="ended with 3: no paging system"):
        command(tmp_path, "echo no paging system >&2; exit 3").deliver(NEWS, never)


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """It must not pile up for a week."""
    script = f"sleep 1000 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(Ambiguous, match="no answer within"):
        command(tmp_path, script, timeout_s=2.0).deliver(NEWS, never)
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


@pytest.mark.parametrize("path", ["tell", "/nowhere/tell"])
def test_a_program_that_is_none_is_named_at_start(path: str) -> None:
    """Not in the night in which it is needed."""
    with pytest.raises(ConfigError, match=r"\[notifications\] command"):
        Command(CommandSettings([path]), SENDER)


def test_channels_are_made_from_what_is_configured(tmp_path: Path) -> None:
    """None at all is a choice."""
    common = {"secret": "", "ca_file": "", "timeout_s": 1.0, "bus": "", "topic": "hanode"}
    assert channels(SENDER, url="", command=[], **common) == []  # type: ignore[arg-type]  # one dictionary for all
    both = channels(SENDER, url="http://127.0.0.1/", command=program(tmp_path, "true"), **common)  # type: ignore[arg-type]
    assert [channel.name for channel in both] == ["webhook", "command"]


# --------------------------------------------------------------------------- the courier


def test_what_fails_is_told_again_in_its_order() -> None:
    """The end of an incident before its beginning would leave it open in every receiver."""
    with receiving([503, 500, 200]) as receiver:
        one = courier(webhook(receiver.url))
        one.tell(NEWS)
        one.tell(replace(NEWS, phase=Phase.ENDS))
        receiver.wait_for(4)
        assert one.close(LIMIT_S)
    assert [json.loads(body)["phase"] for body in receiver.bodies] == ["begins"] * 3 + ["ends"]
    keys = [headers["Idempotency-Key"] for headers in receiver.headers]
    assert len(set(keys[:3])) == 1 and keys[3] != keys[0]


def test_what_is_refused_holds_nothing_up() -> None:
    """A receiver that does not like one message gets the next."""
    refused = count("refused")
    with receiving([400, 200]) as receiver:
        one = courier(webhook(receiver.url))
        one.tell(NEWS)
        one.tell(replace(NEWS, phase=Phase.ENDS))
        receiver.wait_for(2)
        assert one.close(LIMIT_S)
    assert count("refused") == refused + 1


def test_telling_never_waits_and_the_queue_is_bounded() -> None:
    """A receiver that hangs for a day costs neither a tick nor the memory; what is lost is counted."""
    dropped = count("dropped")
    with receiving([0]) as receiver:
        one = courier(webhook(receiver.url))
        for number in range(QUEUE + 50):
            one.tell(replace(NEWS, key=str(number)))
        receiver.wait_for(1)
        assert count("dropped") >= dropped + 49
        one.forget()
        receiver.over.set()
        assert one.close(LIMIT_S)
    assert len(receiver.bodies) == 1, "a deposed leader tells nothing more"


def test_what_is_too_old_is_given_up() -> None:
    """Yesterday's alarm is no news; what came later is delivered."""
    gave_up = count("gave-up")
    with receiving([503]) as receiver:
        one = courier(webhook(receiver.url), give_up_s=0.0)
        one.tell(NEWS)
        wait_until(lambda: count("gave-up") == gave_up + 1)
        receiver.answers[:] = [200]
        one.tell(replace(NEWS, key="later"))
        wait_until(lambda: any(json.loads(body)["key"] == "cloud1/later" for body in receiver.bodies))
        assert one.close(LIMIT_S)


def test_a_hanging_channel_delays_no_other_and_no_end(tmp_path: Path) -> None:
    """Each has a thread of its own; the daemon hands over whatever they do."""
    with receiving([0]) as receiver:
        slow, quick = courier(webhook(receiver.url)), courier(command(tmp_path, f"cat >> {tmp_path}/told"))
        both = Couriers([slow, quick])
        both.tell(NEWS)
        wait_until(lambda: (tmp_path / "told").exists() and b"incident" in (tmp_path / "told").read_bytes())
        assert both.close(0.2) is False


def test_only_what_was_chosen_is_told() -> None:
    """Who wants to be woken for people's work alone writes events = needs-operator,lost."""
    with receiving([200]) as receiver:
        notifier = open_notifier([webhook(receiver.url)], frozenset({"needs-operator"}), 60.0)
        notifier.tell(NEWS)
        notifier.tell(replace(NEWS, event=Event.NEEDS_OPERATOR))
        receiver.wait_for(1)
        assert notifier.close(LIMIT_S)
    assert [json.loads(body)["event"] for body in receiver.bodies] == ["needs-operator"]


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever started the daemon from a shell with http_proxy must not route its alarms."""
    (port,) = free_ports(1)
    monkeypatch.setitem(os.environ, "http_proxy", f"http://127.0.0.1:{port}")
    with receiving([200]) as receiver:
        webhook(receiver.url).deliver(NEWS, never)
    assert len(receiver.bodies) == 1


# --------------------------------------------------------------------------- what people read and type


def test_the_receiver_of_the_document_believes_us_and_nobody_else() -> None:
    """It is copied, and then decides who wakes people."""
    page = (Path(__file__).parents[2] / "docs/notifications.md").read_text()
    copied: dict[str, Callable[..., bool]] = {}
    exec(page.split("```python\n")[1].split("```")[0], copied)
    believed = copied["is_from_hanode"]
    with receiving([200]) as receiver:
        webhook(receiver.url).deliver(NEWS, never)
    (headers,), (body,) = receiver.headers, receiver.bodies
    assert believed(SECRET.encode(), headers, body)
    assert not believed(b"another", headers, body)
    assert not believed(SECRET.encode(), headers, body + b" ")
    assert not believed(SECRET.encode(), headers, body, now_s=float(headers["X-Hanode-Timestamp"]) + 3600), "recorded and played again"


def test_a_test_tells_what_became_of_it_by_each_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the night in which it is needed, and without a daemon."""
    (tmp_path / "secret").write_text(SECRET)
    with receiving([200, 403]) as receiver:
        config = tmp_path / "hanode.conf"
        config.write_text(f"[notifications]\nwebhook_url = {receiver.url}\nwebhook_secret_file = {tmp_path}/secret\n"
                          f"command = {' '.join(program(tmp_path, 'cat > /dev/null'))}\n")
        assert main(["notify", "test", "--config-file", str(config)]) == 0
        assert capsys.readouterr().out == "webhook: delivered\ncommand: delivered\n"
        assert main(["notify", "test", "--config-file", str(config)]) == 1
        said = capsys.readouterr()
        assert "answered 403" in said.err and said.out == "command: delivered\n"
        assert "T0K3N" not in said.err and SECRET not in said.err
    assert json.loads(receiver.bodies[0])["event"] == "test"


def test_nobody_to_tell_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silence would read as success."""
    (tmp_path / "hanode.conf").write_text("")
    assert main(["notify", "test", "--config-file", str(tmp_path / "hanode.conf")]) == 1
    assert "nobody is told anything" in capsys.readouterr().err
