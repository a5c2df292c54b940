"""What it takes to find out which images wait: many in a stage, nearly all of them in the next too.

    python -m bench.waiting [--names N] [--versions N] [--waiting N] [--rtt MS] [--looks N]
                            [--folder FOLDER]                         (or: make bench-evaluate)

Each registry is behind a proxy that counts requests and adds a round-trip time to every request and
every new connection. Those who look are a process of their own, which looks again and again, each
time as if for the first. Memory is read from Linux's /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench import memory
from bench.separate import separate_proxy
from dev import images
from dev.anonymous import anonymous_transport
from dev.artifact_registry.lists import ArtifactRegistryLists
from dev.registry import EmbeddedRegistry
from dev.services import docker_registry
from promotion.artifact_registry import GoogleArtifactRegistry
from promotion.inventory import RegistryInventory
from promotion.pipeline import Gate, Pipeline, Stage, Suite
from promotion.registry.client import RepositoryClient
from promotion.registry.credentials import Anonymous
from promotion.registry.manifest import OCI_MANIFEST
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from promotion.waiting import waiting_in

_HERE, _NEXT = "tenant/shop/fast-feedback", "tenant/shop/prod"
_GOOGLE = "europe-west2-docker.pkg.dev"
_ARTIFACT_REGISTRY = "projects/acme/locations/europe-west2/repositories"
_PUSHED_AT_ONCE = 4


@dataclass(frozen=True)
class Content:
    """What is in the two stages.

    Attributes:
        waiting: For how many names the newest version is not in the next stage.
    """

    names: int
    versions: int
    waiting: int

    def tags(self, stage: str) -> Iterator[tuple[str, list[str]]]:
        """The names in a stage, each with its tags."""
        for number in range(self.names):
            missing = 1 if stage == _NEXT and number < self.waiting else 0
            yield (
                f"service-{number}",
                [f"1.{minor}.0" for minor in range(self.versions - missing)],
            )


@dataclass(frozen=True)
class Place:
    """Where the stages are.

    Attributes:
        host: What images are called by.
        listener: What answers, ``127.0.0.1:PORT``.
    """

    title: str
    host: str
    listener: str


@dataclass(frozen=True)
class Looks:
    """What the looks took, one after the other, and what they found; memory in MiB."""

    found: int
    wall: list[float]
    cpu: list[float]
    idle: float
    peak: float


def main() -> int:
    """Print a table; 1 if something else waits than should."""
    options = _parser().parse_args()
    if options.child:
        host, listener = options.child
        print(json.dumps(asdict(_look(host, listener, options.looks))))
        return 0
    content = Content(options.names, options.versions, options.waiting)
    print(
        f"{content.names * content.versions:,} images of {content.names:,} names,"
        f" {content.waiting:,} of which wait; {options.rtt:g} ms for each request\n"
    )
    print("registry             requests  HEAD  first s  then s  CPU s  idle MiB  peak MiB")
    with tempfile.TemporaryDirectory(prefix="promotion-bench-", dir=options.folder) as folder:
        rows = [
            _measure(place, options.rtt / 1000, options.looks)
            for place in _places(content, Path(folder))
        ]
    return int(any(found != content.waiting for found in rows))


def _places(content: Content, folder: Path) -> Iterator[Place]:
    with docker_registry(folder / "docker-registry") as registry:
        _push(content, registry.host)
        yield Place("docker-registry", registry.host, registry.host)
    with EmbeddedRegistry(folder / "embedded") as embedded:
        _push(content, embedded.host)
        yield Place("embedded registry", embedded.host, embedded.host)
    with ArtifactRegistryLists() as lists:
        lists.repositories[f"{_ARTIFACT_REGISTRY}/tenant"] = {
            f"{stage.removeprefix('tenant/')}/{name}": {tag: _digest(name, tag) for tag in tags}
            for stage in (_HERE, _NEXT)
            for name, tags in content.tags(stage)
        }
        yield Place("Artifact Registry's API", _GOOGLE, lists.endpoint.removeprefix("http://"))


def _digest(name: str, tag: str) -> str:
    return digest_of(f"{name}:{tag}".encode())


def _push(content: Content, host: str) -> None:
    with _transport() as transport, ThreadPoolExecutor(_PUSHED_AT_ONCE) as threads:
        begun = [
            threads.submit(_push_name, RepositoryClient(Repository(host, path), transport), tags)
            for stage in (_HERE, _NEXT)
            for name, tags in content.tags(stage)
            for path in [f"{_path(host, stage)}/{name}"]
        ]
        for each in begun:
            each.result()


def _push_name(repository: RepositoryClient, tags: Sequence[str]) -> None:
    config = images.push_blob(repository, b"{}", images.OCI.config)
    for tag in tags:
        content = {"config": config, "layers": [], "annotations": {"version": tag}}
        images.push_manifest(repository, content, OCI_MANIFEST, tag)


def _path(host: str, stage: str) -> str:
    return f"acme/{stage}" if host == _GOOGLE else stage


@contextmanager
def _transport() -> Iterator[Transport]:
    transport = anonymous_transport()
    try:
        yield transport
    finally:
        transport.close()


def _measure(place: Place, round_trip: float, looks: int) -> int:
    """Print what looks take; how many images they found."""
    with separate_proxy(place.listener, round_trip) as proxy:
        host = place.host if place.host == _GOOGLE else proxy.host
        command = [sys.executable, "-m", "bench.waiting", "--child", host, proxy.host]
        child = subprocess.run(
            [*command, "--looks", str(looks)], stdout=subprocess.PIPE, text=True, check=True
        )
        methods = [exchange.method for exchange in proxy.exchanges()]
    took = Looks(**json.loads(child.stdout))
    print(
        f"{place.title:23}{len(methods) // looks:6}{methods.count('HEAD') // looks:6}"
        f"{took.wall[0]:9.2f}{median(took.wall[1:] or took.wall):8.2f}"
        f"{median(took.cpu[1:] or took.cpu):7.2f}{took.idle:10.1f}{took.peak:10.1f}",
        flush=True,
    )
    return took.found


# The process that looks


def _look(host: str, listener: str, looks: int) -> Looks:
    api = GoogleArtifactRegistry(Anonymous(), f"http://{listener}")
    with _transport() as transport:
        look = partial(_found, host, transport, api)
        idle = memory.resident(os.getpid())
        wall, cpu, found = [], [], 0
        for _ in range(looks):
            started, used = time.perf_counter(), time.process_time()
            found = look()
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - used)
    return Looks(found, wall, cpu, idle, memory.peak(os.getpid()))


def _found(host: str, transport: Transport, api: GoogleArtifactRegistry) -> int:
    """How many images wait, at a look at all that is there."""
    here = Stage(
        "here",
        Repository(host, _path(host, _HERE)),
        promotes_to=("next",),
        gate=Gate((Suite("functional"),)),
    )
    following = Stage("next", Repository(host, _path(host, _NEXT)))
    pipeline = Pipeline("shop", {"here": here, "next": following})
    inventory = RegistryInventory(transport, api)
    return sum(1 for _ in waiting_in(pipeline, here, transport, inventory))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.waiting")
    add = parser.add_argument
    add("--names", type=int, default=100, metavar="N", help="default: 100")
    add("--versions", type=int, default=100, metavar="N", help="of each name; default: 100")
    add("--waiting", type=int, default=20, metavar="N", help="of all images; default: 20")
    add("--rtt", type=float, default=20, metavar="MS", help="added to each request; default: 20")
    add("--looks", type=int, default=5, metavar="N", help="one after the other; default: 5")
    add("--folder", type=Path, help="where the registries keep their data")
    add("--child", nargs=2, metavar=("HOST", "LISTENER"), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
