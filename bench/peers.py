"""Who copies: this product's command line, and the programs that people use today."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import cost
from bench.cost import Cost

ROOT = Path(__file__).parent.parent


class Contestant(Protocol):
    """Somebody who copies images and can be timed."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def copy(self, source: str, destination: str) -> Cost:
        """Copy HOST/PATH@DIGEST to HOST/PATH:TAG.

        Raises:
            NotMeasured: It did not.
        """


@dataclass(frozen=True)
class Command:
    """A program that is started for each copy, and remembers nothing of the one before.

    Attributes:
        command: The arguments, given source and destination.
    """

    name: str
    command: Callable[[str, str], list[str]]

    def copy(self, source: str, destination: str) -> Cost:
        """Run it in a home of its own, where it finds no cache."""
        with tempfile.TemporaryDirectory(prefix="promotion-bench-home-") as home:
            environment = {
                "HOME": home,
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                # Without this, skopeo as root has its cache of blobs in a place of the system's.
                "_CONTAINERS_ROOTLESS_UID": "65534",
            }
            return cost.run(self.command(source, destination), environment, Path(home))


def _promotion(source: str, destination: str) -> list[str]:
    return [sys.executable, "-m", "promotion", "copy", source, destination]


def _promotion_by_tag(source: str, destination: str) -> list[str]:
    tag = destination.rpartition(":")[2]
    return _promotion(f"{source.partition('@')[0]}:{tag}", destination)


def _crane(source: str, destination: str) -> list[str]:
    return ["crane", "copy", "--insecure", source, destination]


def _oras(source: str, destination: str) -> list[str]:
    return ["oras", "cp", "--from-plain-http", "--to-plain-http", source, destination]


def _regctl(source: str, destination: str) -> list[str]:
    names = {image.partition("/")[0] for image in (source, destination)}
    hosts = [argument for name in names for argument in ("--host", f"reg={name},tls=disabled")]
    return ["regctl", "image", "copy", *hosts, source, destination]


def _skopeo(source: str, destination: str) -> list[str]:
    options = ["--all", "--src-tls-verify=false", "--dest-tls-verify=false"]
    images = [f"docker://{source}", f"docker://{destination}"]
    return ["skopeo", "--insecure-policy", "copy", *options, *images]


OURS = Command("promotion copy", _promotion)
OURS_BY_TAG = Command("promotion copy, by tag", _promotion_by_tag)
_PEERS = {"crane": _crane, "oras": _oras, "regctl": _regctl, "skopeo": _skopeo}


def peers() -> Iterator[Command]:
    """Those that are installed."""
    for name, command in _PEERS.items():
        if shutil.which(name):
            yield Command(name, command)
