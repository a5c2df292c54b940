"""A server in a process of its own: where it listens, when it answers, what it has in memory."""

from __future__ import annotations

import http.client
import os
import random
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dev.services import Service, ServiceFailed

MEMORY_REPORT = Path("/proc/self/smaps_rollup")

_POLL_SECONDS = 0.002
_ANSWER_LIMIT = 30.0
# Below the ports that systems give to outgoing connections: a connection to a port of those, where
# nobody listens yet, may be given that very port, meet itself, and keep the server from it.
_PORTS = range(20_000, 30_000)


def await_answer(
    service: Service, port: int, method: str, path: str, body: bytes | None = None
) -> None:
    """Send a request as soon as the port takes it, and wait for its 200."""
    deadline = time.monotonic() + _ANSWER_LIMIT
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError):
            status = _request(port, method, path, body)
            if status != 200:
                raise ServiceFailed(service, f"answered {status}")
            return
        if service.exit_code is not None:
            raise ServiceFailed(service, f"ended with status {service.exit_code}")
        time.sleep(_POLL_SECONDS)
    raise ServiceFailed(service, f"did not listen within {_ANSWER_LIMIT:g} seconds")


def _request(port: int, method: str, path: str, body: bytes | None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_LIMIT)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def free_port() -> int:
    """Find a port that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def server_environment(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """This process's environment without what configures functions and their server."""
    configures = (
        "PROMOTION_.*|PUBSUB_EMULATOR_HOST|FUNCTION_.*|GUNICORN_.*|DEBUG|WORKERS|THREADS"
        "|PYTHONDONTWRITEBYTECODE"
    )
    own = {name: text for name, text in os.environ.items() if not re.fullmatch(configures, name)}
    # K_SERVICE is how a function knows Cloud Run. The folder receives gunicorn's control socket.
    return {**own, "K_SERVICE": "bench", "XDG_RUNTIME_DIR": str(folder), **given}


def mebibytes(group: int) -> float | None:
    """The memory of a process group, pages that processes share divided among them (PSS)."""
    if not MEMORY_REPORT.exists():
        return None
    reports = [(process / MEMORY_REPORT.name).read_text() for process in _processes(group)]
    sizes = re.findall(r"^Pss: +(\d+) kB$", "".join(reports), re.MULTILINE)
    return sum(int(size) for size in sizes) / 1024


def _processes(group: int) -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getpgid(int(process.name)) == group:
                yield process
