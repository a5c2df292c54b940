"""Many messages at once: how fast, how long each, at what cost, and whether the cost grows evenly.

    python -m bench.load [--count N] [--instances N ...] [--versions N]
                         [--folder FOLDER]                  (or: make load COUNT=…)

Of N messages nine tenths are results that only add evidence, and one tenth completes an image of
ten layers, which is promoted inside its registry; one in a hundred more is malformed. Each row is
a run of its own, and the last one is at twice the messages.

The function runs on its production server, its events go to the Pub/Sub emulator, and images are
in Docker's registry. The push is made here, by so many publishers at once as an instance takes
messages: the emulator delivers fewer than the function takes. A message's time is from its
publication to its answer, which comes after its event was taken by Pub/Sub.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from bench import memory
from bench.separate import separate_proxy
from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub, Received
from dev.services import Service, docker_registry, function_server, pubsub_emulator
from dev.stack import DEAD_LETTERS, EVENTS, ROOT, function_environment
from promotion.keys import PrivateKey
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository

_SUITES = [f"suite-{number}" for number in range(10)]
_LAYERS = 10
_WINDOW = 20
_AT_ONCE = 8
_PUSHED_AT_ONCE = 4
_PAUSE_SECONDS = 1.0
_COUNTED = 20


@dataclass(frozen=True)
class Message:
    """A message to be published; ``kind`` is evidence, promotion or malformed."""

    kind: str
    data: bytes


@dataclass
class Taken:
    """What became of the messages.

    Attributes:
        seconds: How long each message took, by kind.
        again: How many deliveries were answered with 503.
    """

    seconds: dict[str, list[float]] = field(
        default_factory=lambda: {kind: [] for kind in ("evidence", "promotion", "malformed")}
    )
    again: int = 0
    wall: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where a run's images are: a registry, and a folder of its own in it."""

    host: str
    prefix: str

    def configuration(self, folder: Path) -> str:
        """The promotion.yaml: ten suites leave the first stage; statements are signed."""
        key = folder / "signing.pem"
        key.write_bytes(PrivateKey.generate().to_pem())
        return f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {self.host}/{self.prefix}
        promotes_to: prod
        gate: {{suites: [{", ".join(_SUITES)}]}}
      prod: {{registry: {self.host}/{self.prefix}}}
signing: {{key: {key}}}
"""


def main() -> int:
    """Print the tables; 1 if a message had not the one effect that it should."""
    options = _parser().parse_args()
    # So that all that was started ends with this, also when a time-out ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    count = options.count
    print(f"{'messages':>9}{'instances':>11}{'wall s':>8}{'msg/s':>8}", end="")
    print(f"{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'peak MiB':>10}", end="")
    print(f"{'again':>7}{'twice':>7}{'wrong':>7}")
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="promotion-load-", dir=options.folder) as name:
        folder = Path(name)
        with pubsub_emulator(folder, "load") as emulator, docker_registry(folder / "r") as registry:
            runs = [(count, each) for each in options.instances]
            for number, (messages, instances) in enumerate((*runs, (2 * count, 1))):
                place = Place(registry.host, f"run-{number}")
                wrong += _run(place, messages, instances, options.versions, emulator, folder)
            print(f"\nrequests per promotion: {_requests(registry.host, folder, emulator):.1f}")
    return int(wrong > 0)


# A run


def _run(
    place: Place, count: int, instances: int, versions: int, emulator: Service, folder: Path
) -> int:
    """Print a row; how many messages had not their effect."""
    images_pushed = push(place, count // len(_SUITES), versions)
    messages = list(_messages(images_pushed, count // 100))
    with PubSub(emulator.host, place.prefix) as pubsub:
        with _functions(place, instances, pubsub, folder / place.prefix) as functions:
            taken = deliver(messages, [each.url for each in functions])
            peak = max(memory.peak(worker) for each in functions for worker in _workers(each.pid))
        events, dead = _pulled(pubsub, EVENTS), _pulled(pubsub, DEAD_LETTERS)
    told = {(each.attributes["ce-id"], each.data) for each in events}
    wrong = abs(len(told) - len(images_pushed))
    wrong += abs(len(dead) - len(taken.seconds["malformed"]))
    p50, p95, p99 = (1000 * _percentile(taken.seconds["promotion"], each) for each in (50, 95, 99))
    print(
        f"{len(messages):9,}{instances:11}{taken.wall:8.1f}{len(messages) / taken.wall:8.1f}"
        f"{p50:9.0f}{p95:9.0f}{p99:9.0f}{peak:10.1f}{taken.again:7}"
        f"{len(events) - len(told):7}{wrong:7}",
        flush=True,
    )
    return wrong


@contextmanager
def _functions(
    place: Place, instances: int, pubsub: PubSub, folder: Path
) -> Iterator[list[Service]]:
    folder.mkdir()
    for topic in (EVENTS, DEAD_LETTERS):
        pubsub.create_topic(topic)
        pubsub.create_subscription(topic, topic)
    environment = function_environment(folder, pubsub, place.configuration(folder))
    environment |= {"LOG_LEVEL": "WARNING", "K_SERVICE": "load"}
    with ExitStack() as running:
        yield [
            running.enter_context(function_server(ROOT, environment, new_folder(folder, number)))
            for number in range(instances)
        ]


def new_folder(folder: Path, number: int) -> Path:
    """Make a folder for one instance."""
    own = folder / str(number)
    own.mkdir()
    return own


def _workers(pid: int) -> list[int]:
    """The processes that the server's master has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


def push(place: Place, number: int, versions: int) -> list[tuple[str, str]]:
    """Push so many images, each of ten layers of its own; their names and digests."""
    transport = anonymous_transport()

    def push(at: int) -> tuple[str, str]:
        name = f"{place.prefix}/fast-feedback/service-{at // versions}"
        repository = RepositoryClient(Repository(place.host, name), transport)
        layers = [f"{place.prefix} {at} {layer}".encode() for layer in range(_LAYERS)]
        tag = f"1.{at % versions}.0"
        return f"{repository.repository}:{tag}", images.push_image(repository, layers, tag).digest

    with ThreadPoolExecutor(_PUSHED_AT_ONCE) as threads:
        pushed = list(threads.map(push, range(number)))
    transport.close()
    return pushed


def _messages(pushed: Sequence[tuple[str, str]], malformed: int) -> Iterator[Message]:
    """The messages; images take turns, so that no two about one image travel at once."""
    all_results = list(results(pushed))
    every = max(1, len(all_results) // malformed) if malformed else len(all_results) + 1
    for number, result in enumerate(all_results):
        yield result
        if number % every == every - 1:
            yield Message("malformed", b"{not JSON")


def results(pushed: Sequence[tuple[str, str]]) -> Iterator[Message]:
    """All results of all images, the last of each image being what it waits for."""
    for start in range(0, len(pushed), _WINDOW):
        for suite in _SUITES:
            kind = "promotion" if suite == _SUITES[-1] else "evidence"
            for image, digest in pushed[start : start + _WINDOW]:
                yield Message(kind, _result(image, digest, suite))


def _result(image: str, digest: str, suite: str) -> bytes:
    content = {"image": image, "digest": digest, "suite": suite, "outcome": "success"}
    return json.dumps(content).encode()


def deliver(messages: Iterable[Message], urls: Sequence[str], at_once: int = _AT_ONCE) -> Taken:
    """Publish them all, each instance taking so many at once, and again what is answered 503."""
    taken, lock = Taken(), threading.Lock()
    waiting = iter(messages)

    def publish(url: str) -> None:
        with urllib3.PoolManager(retries=False, timeout=600.0) as http:
            while True:
                with lock:
                    message = next(waiting, None)
                if message is None:
                    return
                began = time.perf_counter()
                again = _until_taken(http, url, message)
                with lock:
                    taken.seconds[message.kind].append(time.perf_counter() - began)
                    taken.again += again

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once * len(urls)) as publishers:
        try:
            for each in [publishers.submit(publish, url) for url in list(urls) * at_once]:
                each.result()
        finally:
            # Whatever ends this early, no publisher goes on.
            waiting = iter(())
    taken.wall = time.perf_counter() - began
    return taken


def _until_taken(http: urllib3.PoolManager, url: str, message: Message) -> int:
    """Deliver a message as Pub/Sub does, until it is acknowledged; how often it was not."""
    pushed = {
        "message": {
            "data": base64.b64encode(message.data).decode(),
            "messageId": "1",
            "publishTime": datetime.now(UTC).isoformat(),
        },
        "subscription": "projects/load/subscriptions/results",
        "deliveryAttempt": 1,
    }
    for again in itertools.count():
        answer = http.request("POST", f"{url}/", json=pushed)
        if answer.status == 200:
            return again
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("counting ends only by an answer")


def _pulled(pubsub: PubSub, subscription: str) -> list[Received]:
    """The messages that there are."""
    messages: list[Received] = []
    while arrived := pubsub.pull(subscription, timeout=2.0):
        messages += arrived
    return messages


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


# What one promotion takes


def _requests(host: str, folder: Path, emulator: Service) -> float:
    """The requests that each of some promotions takes, all evidence being there."""
    with separate_proxy(host) as proxy, PubSub(emulator.host, "counted") as pubsub:
        place = Place(proxy.host, "counted")
        counted = list(results(push(place, _COUNTED, _COUNTED)))
        with _functions(place, 1, pubsub, folder / "counted") as (function,):
            deliver([each for each in counted if each.kind == "evidence"], [function.url])
            proxy.forget()
            deliver([each for each in counted if each.kind == "promotion"], [function.url], 1)
            return len(proxy.exchanges()) / _COUNTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    add = parser.add_argument
    add("--count", type=int, default=10_000, metavar="N", help="messages; default: 10000")
    add("--instances", type=int, nargs="+", default=[1, 4], metavar="N", help="default: 1 4")
    add("--versions", type=int, default=10, metavar="N", help="of each image; default: 10")
    add("--folder", type=Path, help="where the registries keep their data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
