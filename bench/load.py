"""Many messages at once: how fast, how long each, at what cost, and whether the cost grows evenly.

    python -m bench.load [--count N | --runs NxINSTANCES ...] [--versions N]
                         [--folder FOLDER]           (or: make load COUNT=… or RUNS="…")

Of N messages nine tenths are results that only add evidence, and one tenth completes an image of
ten layers, which is promoted inside its registry; one in a hundred more is malformed. Each row is
a run of its own, with parts of its own that nobody has used before; it is printed when the run
ends. N messages are sent to one instance and to four, and twice as many to each.

The function runs on its production server, its events go to the Pub/Sub emulator, and images are
in Docker's registry. The push is made here, by so many publishers at once as an instance takes
messages: the emulator delivers fewer than the function takes. A message's time is from its
publication to its answer, which comes after its event was taken by Pub/Sub.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.deliveries import Message, Taken, deliver
from bench.instances import instances, peak_memory, pulled
from bench.progress import show
from bench.separate import separate_proxy
from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub, Received
from dev.services import docker_registry, pubsub_emulator
from dev.stack import DEAD_LETTERS, EVENTS, signed
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository

_SUITES = [f"suite-{number}" for number in range(10)]
_LAYERS = 10
# More images than messages are ever under way.
_WINDOW = 100
_PUSHED_AT_ONCE = 4
_COUNTED = 20


@dataclass(frozen=True)
class Run:
    """So many messages to so many instances."""

    messages: int
    instances: int

    @classmethod
    def parse(cls, text: str) -> Run:
        """Read NxINSTANCES, such as 10000x4.

        Raises:
            ValueError: It is not of that form, or there are too few for an image of ten suites.
        """
        messages, _, instances = text.partition("x")
        run = cls(int(messages), int(instances))
        if run.messages < len(_SUITES) or run.instances < 1:
            raise ValueError(text)
        return run


@dataclass(frozen=True)
class Measured:
    """What a run has shown.

    Attributes:
        peak: The most memory that an instance has had, in MiB.
        twice: Events that repeat others, with their id and data.
        wrong: Events and dead letters that are too many, too few, or not what they should be.
    """

    taken: Taken
    peak: float
    twice: int
    wrong: int


@dataclass(frozen=True)
class Place:
    """Where a run's images are: a registry, and a folder of its own in it."""

    host: str
    prefix: str

    def configuration(self, folder: Path) -> str:
        """The promotion.yaml: ten suites leave the first stage; statements are signed."""
        stages = f"{self.host}/{self.prefix}"
        return two_stages(stages, stages, _SUITES) + signed(folder)


def two_stages(registry: str, prod_registry: str, suites: Sequence[str]) -> str:
    """A promotion.yaml: these suites leave fast-feedback."""
    return f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {registry}
        promotes_to: prod
        gate: {{suites: [{", ".join(suites)}]}}
      prod: {{registry: {prod_registry}}}
"""


def main() -> int:
    """Print the table; 1 if a message had not the one effect that it should."""
    options = _parser().parse_args()
    # So that all that was started ends with this, also when a time-out ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"{'messages':>9}{'instances':>11}{'wall s':>9}{'msg/s':>8}", end="")
    print(f"{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'peak MiB':>10}", end="")
    print(f"{'again':>7}{'twice':>7}{'wrong':>7}", flush=True)
    runs = options.runs or _default_runs(options.count)
    wrong = sum(_play(run, options.versions, options.folder) for run in runs)
    print(f"\nrequests per promotion: {_requests(options.folder):.1f}")
    return int(wrong > 0)


def _default_runs(count: int) -> list[Run]:
    return [Run(messages, number) for messages in (count, 2 * count) for number in (1, 4)]


# A run


def _play(run: Run, versions: int, place: Path | None) -> int:
    """Print a row, before what it took is cleared away; how many messages had not their effect."""
    with _parts(place) as (host, pubsub, folder):
        stages = Place(host, "load")
        pushed = push(stages, run.messages // len(_SUITES), versions)
        messages = list(_messages(pushed, run.messages // 100))
        text = stages.configuration(folder)
        with instances(text, run.instances, pubsub, folder / "functions") as functions:
            urls = [each.url for each in functions]
            taken = deliver(
                messages, urls, watch=lambda done: show(f"{done:,} of {len(messages):,} taken")
            )
            peak = peak_memory(functions)
        show("")
        dead = len(pulled(pubsub, DEAD_LETTERS))
        measured = _measured(taken, peak, pulled(pubsub, EVENTS), len(pushed), dead)
        _print_row(run, measured)
    return measured.wrong


def _measured(
    taken: Taken, peak: float, events: Sequence[Received], promotions: int, dead: int
) -> Measured:
    """What is to be said of a run upon which so many promotions and dead letters were due."""
    told = {(each.attributes["ce-id"], each.attributes["verdict"], each.data) for each in events}
    promoted = sum(verdict == "PROMOTE" for _, verdict, _ in told)
    wrong = abs(promoted - promotions) + len(told) - promoted
    wrong += abs(dead - len(taken.seconds["malformed"]))
    return Measured(taken, peak, len(events) - len(told), wrong)


@contextmanager
def _parts(place: Path | None) -> Iterator[tuple[str, PubSub, Path]]:
    """A registry, by its host, and an emulator, both new, and their folder, gone afterwards.

    What a run has left would make the next one slower, and the disk full.
    """
    with tempfile.TemporaryDirectory(prefix="promotion-load-", dir=place) as name:
        folder = Path(name)
        with (
            docker_registry(folder / "registry") as registry,
            pubsub_emulator(folder, "load") as emulator,
            PubSub(emulator.host, "load") as pubsub,
        ):
            yield registry.host, pubsub, folder


def _print_row(run: Run, measured: Measured) -> None:
    taken = measured.taken
    print(
        f"{taken.count:9,}{run.instances:11}{taken.wall:9.1f}{taken.count / taken.wall:8.1f}"
        f"{taken.milliseconds(50):9.0f}{taken.milliseconds(95):9.0f}{taken.milliseconds(99):9.0f}"
        f"{measured.peak:10.1f}{taken.again:7}{measured.twice:7}{measured.wrong:7}",
        flush=True,
    )


# Images and messages


def push(place: Place, number: int, versions: int) -> list[tuple[str, str]]:
    """Push so many images, each of ten layers of its own; their names and digests."""
    transport = anonymous_transport()

    def push(at: int) -> tuple[str, str]:
        name = f"{place.prefix}/fast-feedback/service-{at // versions}"
        repository = RepositoryClient(Repository(place.host, name), transport)
        layers = [f"{place.prefix} {at} {layer}".encode() for layer in range(_LAYERS)]
        tag = f"1.{at % versions}.0"
        digest = images.push_image(repository, layers, tag).digest
        show(f"image {at:,} of {number:,} pushed")
        return f"{repository.repository}:{tag}", digest

    with ThreadPoolExecutor(_PUSHED_AT_ONCE) as threads:
        pushed = list(threads.map(push, range(number)))
    show("")
    transport.close()
    return pushed


def _messages(pushed: Sequence[tuple[str, str]], malformed: int) -> Iterator[Message]:
    """The results of all images, with so many messages between them that are no JSON."""
    all_results = list(results(pushed))
    every = max(1, len(all_results) // malformed) if malformed else len(all_results) + 1
    for number, result in enumerate(all_results):
        yield result
        if number % every == every - 1:
            yield Message("malformed", b"{not JSON")


def results(pushed: Sequence[tuple[str, str]]) -> Iterator[Message]:
    """All results of all images, the last of each image being what it waits for.

    Images take turns, so that of enough images no two results about one travel at once.
    """
    for start in range(0, len(pushed), _WINDOW):
        for suite in _SUITES:
            kind = "promotion" if suite == _SUITES[-1] else "evidence"
            for image, digest in pushed[start : start + _WINDOW]:
                yield Message(kind, result_of(image, digest, suite))


def result_of(image: str, digest: str, suite: str) -> bytes:
    """A test result, in the plain form."""
    content = {"image": image, "digest": digest, "suite": suite, "outcome": "success"}
    return json.dumps(content).encode()


# What one promotion takes


def _requests(place: Path | None) -> float:
    """The requests that each of some promotions takes, all evidence being there."""
    with _parts(place) as (host, pubsub, folder), separate_proxy(host) as proxy:
        behind = Place(proxy.host, "counted")
        counted = list(results(push(behind, _COUNTED, _COUNTED)))
        text = behind.configuration(folder)
        with instances(text, 1, pubsub, folder / "functions") as (function,):
            deliver([each for each in counted if each.kind == "evidence"], [function.url])
            proxy.forget()
            deliver([each for each in counted if each.kind == "promotion"], [function.url], 1)
            return len(proxy.exchanges()) / _COUNTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    add = parser.add_argument
    add("--count", type=int, default=10_000, metavar="N", help="messages; default: 10000")
    runs = "rows, in place of N and 2N messages on one instance and on four"
    add("--runs", type=Run.parse, nargs="+", metavar="NxINSTANCES", help=runs)
    add("--versions", type=int, default=10, metavar="N", help="of each image; default: 10")
    add("--folder", type=Path, help="where the registries keep their data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
