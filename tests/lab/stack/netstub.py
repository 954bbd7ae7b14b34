"""What is the least that a network API must answer for servers without networks to boot?

`netstub.py PORT`: its versions, and an empty list for every resource. It keeps no state.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, as Nova's client expects."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        parts = [part for part in self.path.partition("?")[0].split("/") if part]
        if len(parts) < 2:
            links = [{"rel": "self", "href": f"http://{self.headers.get('Host')}/v2.0/"}]
            self.answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})
        elif len(parts) == 2:
            self.answer(200, {parts[1].removesuffix(".json").replace("-", "_"): []})
        else:
            self.answer(404, {"NeutronError": {"type": "NotFound", "message": "none here", "detail": ""}})

    def log_message(self, format: str, *args: object) -> None:
        """Silence: every boot asks a dozen times for nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
