"""What `make dev` runs: results, people's decisions and signals, each by its own way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dev.pubsub import PubSub
from dev.services import docker_registry
from dev.stack import SIGNALS, controlled, signed, three_stages, wired, with_signals
from tests.integration.busybox import Busybox
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, OpenShop


def test_what_is_released_goes_on_when_all_is_looked_at(
    pubsub: PubSub,
    open_shop: OpenShop,
    busybox: Busybox,
    tmp_path: Path,
) -> None:
    """A stage is held and released through control; the signals topic has what waits judged."""
    with docker_registry(tmp_path / "registry") as registry:
        text = three_stages(registry.host) + with_signals(pubsub.project) + signed(tmp_path)
        with (
            wired(tmp_path, pubsub, text) as stack,
            controlled(tmp_path, pubsub, text) as control,
        ):
            shop = open_shop(stack, registry, registry)
            digest = busybox.push(shop.image(FAST_FEEDBACK))
            decide = ["--pipeline", "shop", "--stage", FAST_FEEDBACK, "--reason", "figures"]
            decide += ["--author", "me@example.com", "--url", control.url]
            promotion("hold", *decide)
            assert shop.push(shop.result(digest)) == 200
            assert shop.digest(EXTENDED_TEST) is None
            promotion("release", *decide)
            topic = f"projects/{pubsub.project}/topics/{SIGNALS}"
            emulated = {"PUBSUB_EMULATOR_HOST": pubsub.host}
            promotion("evaluate", "--all", PROMOTION_SIGNALS_TOPIC=topic, **emulated)
            assert shop.events.next().attributes["verdict"] == "PROMOTE"
            assert shop.digest(EXTENDED_TEST) == digest


def promotion(*arguments: str, **variables: str) -> None:
    """Run the command line as a process."""
    command = [sys.executable, "-m", "promotion", *arguments]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, **variables})
