"""What a cold start costs: this function beside a bare Functions Framework hello-world.

    python -m bench.cold_start [--runs N] [--json FILE]        (or: make bench-cold)

A run starts four servers, one after the other, each in a process of its own and on the Functions
Framework's production server: the bare function, then this one, both with a message that has no
effect; then this one with a first message whose result is attached to its image, and with one that
promotes an image and announces it. Runs are pairs: what is compared was measured within seconds.
Nothing is asserted; the exit code is 1 only where something could not be measured.

An idle machine gives the steadiest figures. That goes for memory too: a page is divided among all
processes that map it, so another server beside the measured one makes both look smaller.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.server import (
    MEMORY_REPORT,
    await_answer,
    free_port,
    mebibytes,
    server_environment,
)
from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub
from dev.services import MissingPart, Service, ServiceFailed, docker_registry, pubsub_emulator
from dev.stack import ROOT, three_stages
from promotion.errors import PromotionError
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository

PROJECT = "local-bench"
EVENTS = "promotion-events"
RUNS = 30
SETTLE_SECONDS = 0.1
HELLO_WORLD = """\
import functions_framework


@functions_framework.cloud_event
def hello(event):
    print("hello, world")
"""


class NotMeasured(Exception):
    """A run did not do what was to be measured."""


@dataclass(frozen=True)
class Function:
    """A function to be started: its entry point, its file, and its environment."""

    target: str
    source: Path
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Start:
    """One start of a server.

    Attributes:
        milliseconds: From the start of its process to its first answer.
        mebibytes: Its memory afterwards (PSS of all its processes); None where that is not told.
    """

    milliseconds: float
    mebibytes: float | None


@dataclass(frozen=True)
class Run:
    """The starts that are compared: of the bare function, and of ours with different messages.

    Attributes:
        ours: With a message that has no effect, as all have with the bare function.
        recorded: With one whose result is attached to its image, and promotes nothing.
    """

    bare: Start
    ours: Start
    recorded: Start
    promotion: Start


@dataclass(frozen=True)
class Figure:
    """What is read off a run, and the most that it should be."""

    name: str
    unit: str
    of: Callable[[Run], float | None]
    aim: float | None = None

    def values(self, runs: Sequence[Run]) -> list[float]:
        """The figure of each run that has it."""
        return [value for run in runs if (value := self.of(run)) is not None]


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


MEASURED = (
    Figure("first answer, bare function", "ms", lambda run: run.bare.milliseconds),
    Figure("first answer, this function", "ms", lambda run: run.ours.milliseconds),
    Figure("first result recorded", "ms", lambda run: run.recorded.milliseconds),
    Figure("first message promoted", "ms", lambda run: run.promotion.milliseconds),
    Figure("idle memory, bare function", "MiB", lambda run: run.bare.mebibytes),
    Figure("idle memory, this function", "MiB", lambda run: run.ours.mebibytes),
    Figure("memory after the record", "MiB", lambda run: run.recorded.mebibytes),
    Figure("memory after the promotion", "MiB", lambda run: run.promotion.mebibytes),
)
COMPARED = (
    Figure(
        "first answer ÷ bare first answer",
        "",
        lambda run: run.ours.milliseconds / run.bare.milliseconds,
        aim=1.4,
    ),
    Figure(
        "first promotion - bare first answer",
        "ms",
        lambda run: run.promotion.milliseconds - run.bare.milliseconds,
        aim=1000,
    ),
    Figure(
        "idle memory - bare idle memory",
        "MiB",
        lambda run: _difference(run.ours.mebibytes, run.bare.mebibytes),
        aim=25,
    ),
    Figure(
        "memory after promotion - bare",
        "MiB",
        lambda run: _difference(run.promotion.mebibytes, run.bare.mebibytes),
    ),
)


class Laboratory:
    """Where functions are started and measured: a folder, a registry and, if there is one, a topic.

    Attributes:
        left_out: What the figures do not hold, in sentences.
    """

    def __init__(
        self, folder: Path, registry: str, pubsub: PubSub | None, left_out: Sequence[str]
    ) -> None:
        self.left_out = left_out
        self._folder = folder
        self._pubsub = pubsub
        transport = anonymous_transport()
        self._source, self._destination = (
            RepositoryClient(Repository(registry, f"shop/{stage}/shop"), transport)
            for stage in ("fast-feedback", "extended-test")
        )
        self._bare = Function("hello", _write(folder / "bare" / "main.py", HELLO_WORLD), {})
        self._ours = Function("promote", ROOT / "main.py", self._environment(registry))

    def _environment(self, registry: str) -> dict[str, str]:
        configuration = _write(self._folder / "promotion.yaml", three_stages(registry))
        environment = {"PROMOTION_CONFIG": str(configuration)}
        if self._pubsub:
            environment["PROMOTION_EVENTS_TOPIC"] = f"projects/{PROJECT}/topics/{EVENTS}"
            environment["PUBSUB_EMULATOR_HOST"] = self._pubsub.host
        return environment

    def run(self, number: int) -> Run:
        """Measure each start once, with an image of this run's own."""
        tag = f"1.0.{number}"
        files = {"number": str(number).encode()}
        digest = images.push_image(self._source, [images.layer(files)], tag).digest
        no_effect = self._push(tag, digest, suite="named-by-no-gate", outcome="cancel")
        bare = self._start(self._bare, no_effect)
        ours = self._start(self._ours, no_effect)
        recorded = self._start(self._ours, self._push(tag, digest, suite="named-by-no-gate"))
        promotion = self._start(self._ours, self._push(tag, digest, suite="functional"))
        self._check(tag, digest)
        return Run(bare, ours, recorded, promotion)

    def _push(self, tag: str, digest: Digest, suite: str, outcome: str = "success") -> bytes:
        """The body of Pub/Sub's push request for a result."""
        image = f"{self._source.repository}:{tag}"
        result = {"image": image, "digest": digest, "suite": suite, "outcome": outcome}
        message = {
            "messageId": "1",
            "publishTime": datetime.now(UTC).isoformat(),
            "data": base64.b64encode(json.dumps(result).encode()).decode(),
        }
        subscription = f"projects/{PROJECT}/subscriptions/results"
        return json.dumps({"message": message, "subscription": subscription}).encode()

    def _start(self, function: Function, push: bytes) -> Start:
        port = free_port()
        options = [f"--target={function.target}", f"--source={function.source.name}"]
        address = ["--signature-type=cloudevent", "--host=127.0.0.1", f"--port={port}"]
        command = [sys.executable, "-m", "functions_framework", *options, *address]
        environment = server_environment(function.environment, self._folder)
        started = time.perf_counter()
        server = Service("function", command, self._folder, environment, function.source.parent)
        try:
            await_answer(server, port, "POST", f"/projects/{PROJECT}/topics/results", push)
            milliseconds = (time.perf_counter() - started) * 1000
            time.sleep(SETTLE_SECONDS)
            return Start(milliseconds, mebibytes(server.pid))
        finally:
            server.kill()

    def _check(self, tag: str, digest: Digest) -> None:
        """A 200 alone may also be the answer to a dead letter."""
        if (named := self._destination.resolve(tag)) != digest:
            raise NotMeasured(f"{self._destination.repository}:{tag} is {named}, not {digest}")
        if not self._pubsub:
            return
        kinds = [event.attributes.get("ce-type", "") for event in self._pubsub.pull(EVENTS)]
        if len(kinds) != 1 or ".promoted." not in kinds[0]:
            raise NotMeasured(f"Expected one promoted event in the topic, found {kinds}")


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Start what the functions need, as far as it is installed, and end it afterwards."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="promotion-bench-")))
        left_out = [
            "Network and credentials: the registry and Pub/Sub are on this machine, anonymous.",
            "Compilation: Python's byte code is in place.",
        ]
        if not MEMORY_REPORT.exists():
            left_out.append("Memory: this system has no /proc/PID/smaps_rollup to read it from.")
        registry = _start_registry(parts, folder, left_out)
        pubsub = _start_pubsub(parts, folder, left_out)
        yield Laboratory(folder, registry, pubsub, left_out)


def _start_registry(parts: ExitStack, folder: Path, left_out: list[str]) -> str:
    """Docker's registry or, in a process of its own as well, the embedded one."""
    try:
        return parts.enter_context(docker_registry(folder / "registry")).host
    except MissingPart as missing:
        left_out.append(f"A real registry: an embedded one stands in for it ({missing}).")
    port = free_port()
    options = [f"--root={folder / 'registry'}", f"--port={port}"]
    command = [sys.executable, "-m", "dev.registry", *options]
    service = Service("registry", command, folder, os.environ, ROOT)
    parts.callback(service.stop)
    await_answer(service, port, "GET", "/v2/")
    return f"127.0.0.1:{port}"


def _start_pubsub(parts: ExitStack, folder: Path, left_out: list[str]) -> PubSub | None:
    """A topic in the emulator, with a subscription of the same name."""
    try:
        emulator = parts.enter_context(pubsub_emulator(folder, PROJECT))
    except MissingPart as missing:
        left_out.append(
            "Publishing: the promoted event is only logged, the Pub/Sub client is never loaded"
            f" ({missing})."
        )
        return None
    pubsub = parts.enter_context(PubSub(emulator.host, PROJECT))
    pubsub.create_topic(EVENTS)
    pubsub.create_subscription(EVENTS, EVENTS)
    return pubsub


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def report(runs: Sequence[Run], left_out: Sequence[str]) -> str:
    """The figures as a table, the aims beside them, and what is not in them."""
    return "\n".join(
        [
            f"Cold start on {_machine()}; runs: {len(runs)}",
            "Times begin with the process; memory is the PSS of all its processes.",
            "",
            f"{'':<40}  {'minimum':>8}  {'median':>8}  {'maximum':>8}",
            *(_row(figure, runs) for figure in MEASURED),
            "",
            "Pair by pair; an aim is met if the median meets it",
            *(_row(figure, runs) for figure in COMPARED),
            "",
            "Not in the figures",
            *(f"  {sentence}" for sentence in left_out),
        ]
    )


def _machine() -> str:
    python = f"Python {platform.python_version()}"
    return f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"


def _row(figure: Figure, runs: Sequence[Run]) -> str:
    label = f"{figure.name:<35}  {figure.unit:<3}"
    values = figure.values(runs)
    if not values:
        return f"{label}  not measured"
    decimals = {"ms": 0, "MiB": 1}.get(figure.unit, 2)
    numbers = (min(values), median(values), max(values))
    cells = "".join(f"  {number:>8.{decimals}f}" for number in numbers)
    return f"{label}{cells}{_judgement(figure, values)}"


def _judgement(figure: Figure, values: Sequence[float]) -> str:
    if figure.aim is None:
        return ""
    met = "met" if median(values) <= figure.aim else "not met"
    return f"   aim ≤ {figure.aim:g}: {met}"


def measure(count: int, file: Path | None) -> str:
    """Measure, write the raw figures if a file is given, and return the report."""
    with laboratory() as place:
        # The first run compiles the modules and fills the system's cache: it does not count.
        runs = [place.run(number) for number in _progress(count + 1)][1:]
    if file:
        figures = {"runs": [asdict(run) for run in runs]}
        raw = {"machine": _machine(), "left_out": place.left_out, **figures}
        _write(file, json.dumps(raw, indent=2, ensure_ascii=False) + "\n")
    return report(runs, place.left_out)


def _progress(count: int) -> Iterator[int]:
    """Count, and say so on a terminal."""
    shown = sys.stderr.isatty()
    for number in range(count):
        if shown:
            print(f"\rrun {number + 1} of {count} …", end="", file=sys.stderr, flush=True)
        yield number
    if shown:
        print("\r", end="\x1b[K", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main() -> int:
    """Print the table; 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start")
    parser.add_argument("--runs", type=_positive, default=RUNS, help=f"default: {RUNS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(measure(arguments.runs, arguments.json))
    except (ServiceFailed, NotMeasured, PromotionError, OSError) as error:
        print(f"Not measured: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Not measured: interrupted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
