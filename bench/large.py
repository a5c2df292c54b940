"""Small images' messages beside the copy of a very large one, by the same instance.

    python -m bench.large [--gib N] [--images N] [--folder FOLDER]        (or: make load-large)

All images go from one of Docker's registries into another, so that every byte travels. Small
images of ten layers are promoted alone at first; then a result for an image with one large blob is
published and, as soon as bytes of it arrive at the other registry, results for as many other small
images. All go to one instance on its production server. The table shows how long the small ones
took; that they did not wait for the large one shows in its copy still being under way when the last
of them was done. Where it was not, there were too many of them, or they waited: that ends with 1.

The registries take twice the size of the large image, in a folder that is removed afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import memory
from bench.deliveries import Message, Taken, deliver
from bench.instances import instances, peak_memory, pulled, workers
from bench.load import result_of, two_stages
from bench.progress import show
from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub
from dev.services import Service, docker_registry, pubsub_emulator
from dev.stack import EVENTS, signed
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Blob
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport

_GIB = 1024**3
_MIB = 1024**2
_LAYERS = 10
_WARMING = 8
_AT_ONCE = 4
_SUITE = "functional"
_TAG = "1.0"
_POLL_SECONDS = 0.05
# What small images, logs and a registry's own files may take.
_SPARE_BYTES = _GIB


@dataclass(frozen=True)
class Stages:
    """Two stages, each in a registry of its own, and where the second one keeps its data."""

    near: str
    far: str
    far_data: Path
    transport: Transport

    def configuration(self, folder: Path) -> str:
        """The promotion.yaml: one suite leaves the first stage; statements are signed."""
        return two_stages(f"{self.near}/shop", f"{self.far}/shop", [_SUITE]) + signed(folder)

    def source(self, name: str) -> RepositoryClient:
        """Where an image is."""
        return RepositoryClient(Repository(self.near, f"shop/fast-feedback/{name}"), self.transport)

    def destination(self, name: str) -> RepositoryClient:
        """Where it goes."""
        return RepositoryClient(Repository(self.far, f"shop/prod/{name}"), self.transport)

    def arrived(self, name: str) -> int:
        """The bytes that are there of the upload that is under way to where an image goes."""
        uploads = "docker/registry/v2/repositories/shop/prod/{}/_uploads/*/data"
        return sum(each.stat().st_size for each in self.far_data.glob(uploads.format(name)))


@dataclass(frozen=True)
class Measured:
    """What the run has shown.

    Attributes:
        beside: What became of the small images' messages during the copy.
        arrived: Bytes of the large blob that were there when the last of them was done.
        was_copying: Whether its copy was still under way then.
        copy: What became of the large image's message.
        peaks: The worker's most memory without and with the copy, in MiB.
    """

    alone: Taken
    beside: Taken
    arrived: int
    was_copying: bool
    copy: Taken
    peaks: tuple[float, float]


def large_pieces(size: int, seed: int = 1) -> Iterator[bytes]:
    """So many bytes that do not compress, the same for the same seed, a MiB at a time."""
    block = random.Random(seed).randbytes(_MIB - 8)
    for number, start in enumerate(range(0, size, _MIB)):
        yield (number.to_bytes(8, "big") + block)[: size - start]


def main() -> int:
    """Print the table; 1 if the small ones waited, or an image is not where it should be."""
    options = _parser().parse_args()
    # So that all that was started ends with this, also when a time-out ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    size = int(options.gib * _GIB)
    if lack := _lack_of_room(size, options.folder):
        print(lack, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="promotion-large-", dir=options.folder) as name:
        return _run(size, options.images, Path(name))


def _lack_of_room(size: int, folder: Path | None) -> str:
    """What is wrong if two registries cannot hold so many bytes each; else nothing."""
    place = folder or Path(tempfile.gettempdir())
    needed, free = 2 * size + _SPARE_BYTES, shutil.disk_usage(place).free
    if free >= needed:
        return ""
    return (
        f"{place} has {free / _GIB:.1f} GiB free, and {needed / _GIB:.1f} GiB are needed:"
        " name another folder (--folder), or a smaller image (--gib)"
    )


def _run(size: int, count: int, folder: Path) -> int:
    with (
        _stages(folder) as stages,
        pubsub_emulator(folder, "large") as emulator,
        PubSub(emulator.host, "large") as pubsub,
    ):
        large, blob = _push_large(stages, size)
        warming = _push_small(stages, "warming", _WARMING)
        alone = _push_small(stages, "alone", count)
        beside = _push_small(stages, "beside", count)
        show("")
        with (
            # It outlives the instance, whose end is the end of what waits for its answer.
            ThreadPoolExecutor(1) as thread,
            instances(stages.configuration(folder), 1, pubsub, folder / "function") as (function,),
        ):
            deliver(warming, [function.url], _AT_ONCE)
            measured = _measured(stages, function, large, alone, beside, thread)
        _print_table(measured, size)
        wrong = _wrong(stages, large, blob)
        promoted = {
            each.data for each in pulled(pubsub, EVENTS) if each.attributes["verdict"] == "PROMOTE"
        }
    expected = _WARMING + 2 * count + 1
    if len(promoted) != expected:
        wrong.append(f"{len(promoted)} of {expected} images were announced")
    if not measured.was_copying:
        wrong.append("the copy ended before the last small image was there: take fewer (--images)")
    for each in wrong:
        print(each, file=sys.stderr)
    return int(bool(wrong))


@contextmanager
def _stages(folder: Path) -> Iterator[Stages]:
    near, far = folder / "near", folder / "far"
    transport = anonymous_transport()
    try:
        with docker_registry(near) as one, docker_registry(far) as other:
            yield Stages(one.host, other.host, far / "data", transport)
    finally:
        transport.close()


# Images, and the results that they wait for


@dataclass(frozen=True)
class Tested:
    """An image in the first stage, and the message that promotes it."""

    digest: Digest
    message: Message


def _push_large(stages: Stages, size: int) -> tuple[Tested, Blob]:
    """Push an image with one blob of this size, which is nowhere held whole but in the registry."""
    hashed = hashlib.sha256()
    for piece in _watched("hashed", large_pieces(size), size):
        hashed.update(piece)
    blob = Blob(Digest(f"sha256:{hashed.hexdigest()}"), size)
    repository = stages.source("large")
    pieces = _watched("pushed", large_pieces(size), size)
    repository.upload(repository.start_upload(blob), blob, pieces)
    form = images.OCI
    layer = {"mediaType": form.layer, "digest": blob.digest, "size": blob.size}
    content = {"config": images.push_blob(repository, b"{}", form.config), "layers": [layer]}
    manifest = images.push_manifest(repository, content, form.manifest, _TAG)
    return _tested(repository, manifest.digest), blob


def _push_small(stages: Stages, kind: str, number: int) -> list[Message]:
    """Push so many images of ten layers of their own; the messages that promote them."""
    messages = []
    for at in range(number):
        show(f"small images: {at:,} of {number:,} pushed ({kind})")
        repository = stages.source(f"{kind}-{at}")
        layers = [f"{kind} {at} {layer}".encode() for layer in range(_LAYERS)]
        pushed = images.push_image(repository, layers, _TAG)
        messages.append(_tested(repository, pushed.digest).message)
    return messages


def _tested(repository: RepositoryClient, digest: Digest) -> Tested:
    image = f"{repository.repository}:{_TAG}"
    return Tested(digest, Message("promotion", result_of(image, digest, _SUITE)))


def _watched(done: str, pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The pieces, while a terminal shows how far they are."""
    passed = 0
    for piece in pieces:
        yield piece
        passed += len(piece)
        show(f"large image: {passed / _GIB:.1f} of {size / _GIB:.1f} GiB {done}")


# What is measured


def _measured(
    stages: Stages,
    function: Service,
    large: Tested,
    alone: Sequence[Message],
    beside: Sequence[Message],
    thread: ThreadPoolExecutor,
) -> Measured:
    taken_alone = deliver(alone, [function.url], _AT_ONCE, _counted(alone))
    peak_alone = peak_memory([function])
    for worker in workers([function]):
        memory.forget_peak(worker)
    copying = thread.submit(deliver, [large.message], [function.url], 1)
    _await_bytes(stages, copying)
    taken_beside = deliver(beside, [function.url], _AT_ONCE, _counted(beside))
    was_copying, arrived = not copying.done(), stages.arrived("large")
    show("waiting for the large image")
    copy = copying.result()
    show("")
    peaks = peak_alone, peak_memory([function])
    return Measured(taken_alone, taken_beside, arrived, was_copying, copy, peaks)


def _await_bytes(stages: Stages, copying: Future[Taken]) -> None:
    """Wait until bytes of the large blob are at their destination, or its message was answered."""
    while not (copying.done() or stages.arrived("large")):
        time.sleep(_POLL_SECONDS)


def _counted(messages: Sequence[Message]) -> Callable[[int], None]:
    return lambda done: show(f"{done:,} of {len(messages):,} small images taken")


def _wrong(stages: Stages, large: Tested, blob: Blob) -> list[str]:
    """What is not at the destination as it was tested: the image, or its large blob's bytes."""
    destination = stages.destination("large")
    wrong = []
    if (found := destination.resolve(_TAG)) != large.digest:
        wrong.append(f"the large image is {found} at its destination, not {large.digest}")
    hashed, size = hashlib.sha256(), 0
    with destination.blob(blob) as pieces:
        for piece in pieces:
            hashed.update(piece)
            size += len(piece)
    if (size, f"sha256:{hashed.hexdigest()}") != (blob.size, blob.digest):
        wrong.append(f"the large blob has {size} bytes of {blob.size}, or others")
    return wrong


def _print_table(measured: Measured, size: int) -> None:
    print(f"{'small images':>26}{'count':>7}{'wall s':>8}", end="")
    print(f"{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}{'again':>7}{'peak MiB':>10}")
    rows = ("alone", measured.alone), (f"beside {size / _GIB:g} GiB", measured.beside)
    for (name, taken), peak in zip(rows, measured.peaks, strict=True):
        print(f"{name:>26}{taken.count:7}{taken.wall:8.1f}", end="")
        for percent in (50, 95, 99):
            print(f"{taken.milliseconds(percent):8.0f}", end="")
        print(f"{taken.again:7}{peak:10.1f}")
    seconds = measured.copy.wall
    print(f"\nlarge image: {seconds:.1f} s, {size / _MIB / seconds:.1f} MiB/s", end="")
    print(f", {measured.copy.again + 1} deliveries")
    there = f"{measured.arrived / _GIB:.2f} GiB of it were there" if measured.was_copying else "no"
    print(f"still copied when the last small image was done: {there}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.large")
    add = parser.add_argument
    add("--gib", type=float, default=5.0, metavar="N", help="size of the large blob; default: 5")
    add("--images", type=int, default=60, metavar="N", help="small images; default: 60")
    add("--folder", type=Path, help="where the registries keep their data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
