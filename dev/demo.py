"""The product's main job in half a minute: test results move an image through three stages.

    python -m dev.demo        (or: make demo)

Everything is real but the registries, which are embedded, and Pub/Sub, in whose place CloudEvents
are sent over HTTP. It ends by itself; its exit code is 1 if any step fails.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dev import images
from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from dev.services import Service, ServiceFailed, function_server
from dev.stack import ROOT, signed, three_stages
from promotion import cli
from promotion.commands.messaging import post
from promotion.errors import PromotionError
from promotion.events import Event
from promotion.messages import PlainResult, report
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository

_VERSION = "1.4.2"
_STAGES = ("fast-feedback", "extended-test", "prod")


class StepFailed(Exception):
    """A step of the demonstration did not do what it should."""


@dataclass(frozen=True)
class Demo:
    """The parts that the story plays on; the stages are repositories, in order."""

    function: Service
    stages: dict[str, RepositoryClient]

    def tell(self) -> None:
        """Push an image and let two test results carry it to prod."""
        self._push()
        mounted, streamed = "one registry: blobs mounted", "another registry: blobs streamed"
        first = self._promote("functional", "fast-feedback", "extended-test", mounted)
        self._promote("extended", "extended-test", "prod", streamed)
        self._deliver_again(first)
        self._ask_why()
        print(_GO_ON)

    def _push(self) -> None:
        files = {"bin/shop": b"#!/bin/sh\necho open\n" * 4000, "etc/motd": b"hello\n"}
        layers = [images.layer({name: content}) for name, content in files.items()]
        image = images.push_image(self.stages["fast-feedback"], layers, tag=_VERSION)
        print(f"\n● A build pushes shop:{_VERSION} to fast-feedback\n    {image.digest}")

    def _promote(self, suite: str, source: str, destination: str, way: str) -> Event:
        """Deliver a passing result, and see what follows; the message that it came in."""
        print(f"\n● The suite {suite!r} passes in {source}: its result is sent to the function")
        message = self._passed(suite, source)
        started = time.monotonic()
        events = self._deliver(message)
        seconds = time.monotonic() - started
        if [event["attributes"]["ce-type"].split(".")[-4] for event in events] != ["promoted"]:
            raise StepFailed(f"expected one promoted event, found {events or 'none'}")
        tested, promoted = (self.stages[s].resolve(_VERSION) for s in (source, destination))
        if tested is None or tested != promoted:
            raise StepFailed(f"{destination} has {promoted}, not {tested}")
        print(f"  → promoted to {destination} in {seconds:.2f} s ({way})")
        self._table()
        print(f"  the event that went out, {events[0]['attributes']['ce-type']}:")
        print(textwrap.indent(json.dumps(events[0]["data"], indent=2, ensure_ascii=False), "    "))
        return message

    def _deliver_again(self, message: Event) -> None:
        print("\n● The first result is delivered again, as Pub/Sub may do at any time")
        if self._deliver(message):
            raise StepFailed("a repeated message was announced again")
        print("  → nothing copied, nothing announced: every message has one effect")

    def _ask_why(self) -> None:
        print(
            "\n● Anyone who can read the registries can ask where it is, and why: promotion status"
        )
        image = f"{self.stages['fast-feedback'].repository}:{_VERSION}"
        if cli.main(["status", image, "--exit-code"], {}) != 0:
            raise StepFailed("the status is not what it should be")

    def _passed(self, suite: str, stage: str) -> Event:
        """The message that a suite has passed in a stage."""
        repository = self.stages[stage]
        digest = repository.resolve(_VERSION)
        if digest is None:
            raise StepFailed(f"{stage} does not have {_VERSION}")
        image = f"{repository.repository}:{_VERSION}"
        print(f"    {suite} success for {image}@{digest}")
        return report(
            PlainResult(
                image=image,
                digest=digest,
                suite=suite,
                outcome="success",
                finished_at=datetime.now(UTC),
            )
        )

    def _deliver(self, message: Event) -> list[dict[str, Any]]:
        """Deliver a message, byte for byte; the events that the function logged for it."""
        seen = len(self.function.output())
        post(self.function.url, message.data, message.attributes)
        return list(_logged_events(self.function.output()[seen:]))

    def _table(self) -> None:
        for name, repository in self.stages.items():
            digest = repository.resolve(_VERSION)
            print(f"    {name:<14} {repository.repository}:{_VERSION:<6}  {digest or '-'}")


_GO_ON = """
● Go on by hand, with a real registry and the real Pub/Sub emulator:
    make dev                                                in this terminal; it prints what follows
    make publish IMAGE=… SUITE=functional OUTCOME=success   in a second one
    .venv/bin/promotion --help                              the command line
"""


def main() -> int:
    """Run the demonstration."""
    print("Promotion: a test result moves the tested image to its next stage, by digest.")
    try:
        with tempfile.TemporaryDirectory(prefix="promotion-demo-") as folder:
            _run(Path(folder))
    except (StepFailed, ServiceFailed, PromotionError) as error:
        print(f"\nThe demonstration failed: {error}", file=sys.stderr)
        return 1
    return 0


def _run(folder: Path) -> None:
    configuration = folder / "promotion.yaml"
    with (
        EmbeddedRegistry(folder / "dev-registry") as near,
        EmbeddedRegistry(folder / "prod-registry") as far,
    ):
        stages = three_stages(near.host, prod_registry=far.host)
        configuration.write_text(stages + signed(folder), encoding="utf-8")
        environment = {"PROMOTION_CONFIG": str(configuration), "PROMOTION_DEV": "1"}
        with function_server(ROOT, environment, folder) as function:
            print(f"  registries: {near.host} (fast-feedback, extended-test) and {far.host} (prod)")
            print(f"  function:   {function.url}, on the Functions Framework")
            transport = anonymous_transport()
            hosts = (near.host, near.host, far.host)
            repositories = {
                stage: RepositoryClient(Repository(host, f"shop/{stage}/shop"), transport)
                for stage, host in zip(_STAGES, hosts, strict=True)
            }
            Demo(function, repositories).tell()
            transport.close()


def _logged_events(output: str) -> Iterator[dict[str, Any]]:
    """The events in the function's log, where they go when no topic is configured."""
    for match in re.finditer(r" event (?=\{)", output):
        yield json.JSONDecoder().raw_decode(output, match.end())[0]


if __name__ == "__main__":
    sys.exit(main())
