"""The copy as the function does it when it has been running for a while: this product's warm side.

As a program it is the child process: it reads a line for each piece of work, the pairs of source
and destination and how many of them to promote at once, and answers with what that took. `Warm`
speaks to it. What is called in the product stands in `promote` alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench import memory
from bench.cost import Cost, NotMeasured

if TYPE_CHECKING:
    from promotion.registry.transport import Transport

Pair = tuple[str, str]
"""A source as HOST/PATH@DIGEST and a destination as HOST/PATH:TAG."""

NAME = "promotion, warm"

_STOP_SECONDS = 10


def promote(pair: Pair, transport: Transport) -> None:
    """Copy an image with all that belongs to it, unless it is there, and set its tag last."""
    from promotion.registry import parallel
    from promotion.registry.client import between
    from promotion.registry.copy import copy
    from promotion.registry.reference import Reference
    from promotion.registry.referrers import AllAttachments

    source, destination = (Reference.parse(text) for text in pair)
    if source.digest is None:
        raise ValueError(f"{source} has no digest")
    reader, writer = between(source.repository, destination.repository, transport, transport)
    with AllAttachments(reader) as attachments:
        attachments.look_up(source.digest)
        standing = parallel.start(partial(writer.resolve, destination.tag), writer.repository.host)
        image = reader.manifest(source.digest)
        if standing.result() != image.digest:
            copy(image, reader, writer, attachments)
            writer.put_manifest(image, destination.tag)


@dataclass(frozen=True)
class _Taken:
    """What a piece of work took, in seconds, and why it failed."""

    wall: float
    cpu: float
    error: str = ""


class Warm:
    """The child process: asked again and again, it keeps its connections."""

    name = NAME

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._idle = 0.0

    def copy(self, source: str, destination: str) -> Cost:
        """Copy one image."""
        return self.copy_all([(source, destination)], at_once=1)

    def copy_all(self, pairs: Sequence[Pair], at_once: int) -> Cost:
        """Copy images, so many at once.

        Raises:
            NotMeasured: One of them could not be copied.
        """
        process = self._process.pid
        memory.forget_peak(process)
        taken = self._ask({"pairs": pairs, "at_once": at_once})
        cost = Cost(taken.wall, taken.cpu, memory.peak(process), self._idle)
        # After the first piece of work all modules are loaded, and nothing else has been done.
        self._idle = self._idle or memory.resident(process)
        return cost

    def _ask(self, work: Mapping[str, object]) -> _Taken:
        if not self._process.stdin or not self._process.stdout:
            raise ValueError("the process has no pipes")
        print(json.dumps(work), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        taken = _Taken(**json.loads(line)) if line else _Taken(0, 0, "the process has ended")
        if taken.error:
            raise NotMeasured(f"{self.name}: {taken.error}")
        return taken


@contextmanager
def warm() -> Iterator[Warm]:
    """Run the child process; it ends with the block."""
    command = [sys.executable, "-m", "bench.warm"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Warm(process)
            # It ends when there is nothing more to read.
            process.communicate(timeout=_STOP_SECONDS)
        finally:
            process.kill()


def main() -> None:
    """Do what is read from standard input, until its end."""
    from dev.anonymous import anonymous_transport

    transport = anonymous_transport()
    for line in sys.stdin:
        work = json.loads(line)
        started, used = time.perf_counter(), time.process_time()
        error = _do(work["pairs"], work["at_once"], transport)
        taken = _Taken(time.perf_counter() - started, time.process_time() - used, error)
        print(json.dumps(asdict(taken)), flush=True)
    transport.close()


def _do(pairs: Sequence[Pair], at_once: int, transport: Transport) -> str:
    try:
        if at_once == 1:
            for pair in pairs:
                promote(pair, transport)
        else:
            with ThreadPoolExecutor(at_once) as threads:
                list(threads.map(partial(promote, transport=transport), pairs))
    except Exception as error:  # whatever it is, the parent is to hear of it
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main()
