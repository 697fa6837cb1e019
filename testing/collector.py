"""A collector of OpenTelemetry's spans, over OTLP/HTTP, in the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Span = dict[str, Any]


class Collector:
    """Keeps the spans that were sent to it.

    Attributes:
        url: Where to send them.
        raw: All bodies that were received, as they came.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw: list[bytes] = []

    def spans(self, name: str) -> list[Span]:
        """Return the attributes of the spans of a name, the oldest first."""
        found = []
        for body in list(self.raw):
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    found += [
                        {each.key: each.value.string_value for each in span.attributes}
                        for span in scope.spans
                        if span.name == name
                    ]
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port of 127.0.0.1 until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.raw.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
