"""The real parts, wired as in a deployment: topics, push subscription, dead letters, function.

    python -m dev.stack        (or: make dev)

runs them, and the function that takes people's decisions, until Ctrl-C, and prints each promotion
event as it arrives.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3

from dev import images
from dev.anonymous import anonymous_transport
from dev.pubsub import PubSub, Received
from dev.services import (
    MissingPart,
    Service,
    ServiceFailed,
    docker_registry,
    function_server,
    pubsub_emulator,
)
from promotion.keys import PrivateKey
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository

ROOT = Path(__file__).parent.parent
RESULTS = "shop-results"
EVENTS = "promotion-events"
DEAD_LETTERS = "promotion-dead-letters"
SIGNALS = "promotion-signals"
PUSH_SUBSCRIPTION = f"{RESULTS}-push"
SIGNALS_SUBSCRIPTION = f"{SIGNALS}-push"

_ENVIRONMENT = ROOT / ".dev" / "environment.mk"
_ATTEMPTS = 5
_PROJECT = "local-dev"


@dataclass(frozen=True)
class Stack:
    """A function that takes the messages of the topics for results and for signals."""

    function: Service
    pubsub: PubSub


def three_stages(registry: str, prod_registry: str = "", results: str = "") -> str:
    """A promotion.yaml: functional leaves fast-feedback, extended leaves extended-test."""
    return f"""\
pipelines:
  shop:
    {f"results: {results}" if results else "# results: any subscription counts"}
    stages:
      fast-feedback:
        registry: {registry}/shop
        promotes_to: extended-test
        gate:
          suites: [functional]
      extended-test:
        registry: {registry}/shop
        promotes_to: prod
        gate:
          suites: [extended]
      prod:
        registry: {prod_registry or registry}/shop
"""


def with_signals(project: str) -> str:
    """The part of a promotion.yaml that has signals count if they come through their topic."""
    return f"signals: projects/{project}/subscriptions/{SIGNALS_SUBSCRIPTION}\n"


def signed(folder: Path) -> str:
    """The part of a promotion.yaml that has statements signed, by a key that is made for it."""
    key = folder / "signing.pem"
    key.write_bytes(PrivateKey.generate().to_pem())
    return f"signing: {{key: {key}}}\n"


@contextmanager
def wired(
    directory: Path, pubsub: PubSub, configuration: str, ack_deadline: int = 60
) -> Iterator[Stack]:
    """Run the function with this promotion.yaml, fed by push subscriptions on its two topics.

    The events topic and the dead-letter topic each have a subscription of the same name, to pull.
    """
    for topic in (RESULTS, SIGNALS, EVENTS, DEAD_LETTERS):
        pubsub.create_topic(topic)
    for topic in (EVENTS, DEAD_LETTERS):
        pubsub.create_subscription(topic, topic)
    environment = function_environment(directory, pubsub, configuration) | _signals_topic(pubsub)
    with function_server(ROOT, environment, directory) as function:
        for subscription, topic in ((PUSH_SUBSCRIPTION, RESULTS), (SIGNALS_SUBSCRIPTION, SIGNALS)):
            pubsub.create_subscription(
                subscription,
                topic,
                endpoint=f"{function.url}/projects/{pubsub.project}/topics/{topic}",
                ack_deadline=ack_deadline,
                dead_letter_topic=DEAD_LETTERS,
                max_delivery_attempts=_ATTEMPTS,
            )
        yield Stack(function, pubsub)


@contextmanager
def controlled(directory: Path, pubsub: PubSub, configuration: str) -> Iterator[Service]:
    """Run the function that takes people's decisions, who name themselves, beside the other."""
    folder = directory / "control"
    folder.mkdir()
    environment = function_environment(folder, pubsub, configuration) | _signals_topic(pubsub)
    environment["PROMOTION_DEV"] = "1"
    with function_server(ROOT, environment, folder, target="control", signature="http") as function:
        yield function


def function_environment(directory: Path, pubsub: PubSub, configuration: str) -> dict[str, str]:
    """What the function is told, with the promotion.yaml written to a file."""
    file = directory / "promotion.yaml"
    file.write_text(configuration, encoding="utf-8")
    topics = f"projects/{pubsub.project}/topics"
    return {
        "PROMOTION_CONFIG": str(file),
        "PROMOTION_EVENTS_TOPIC": f"{topics}/{EVENTS}",
        "PROMOTION_DEAD_LETTER_TOPIC": f"{topics}/{DEAD_LETTERS}",
        "PUBSUB_EMULATOR_HOST": pubsub.host,
    }


def _signals_topic(pubsub: PubSub) -> dict[str, str]:
    return {"PROMOTION_SIGNALS_TOPIC": f"projects/{pubsub.project}/topics/{SIGNALS}"}


def describe(event: Received) -> str:
    """An event as it is printed: what happened, then its data."""
    kind = event.attributes.get("ce-type", "dead letter")
    data = event.data.decode(errors="replace")
    if kind == "dead letter":
        reason = event.attributes.get("promotion-dlq-reason", "never acknowledged")
        return f"✗ dead letter: {reason}\n  {data}"
    sign = "✓" if event.attributes["verdict"] == "PROMOTE" else "✗"
    return f"{sign} {kind}\n{json.dumps(json.loads(data), indent=2, ensure_ascii=False)}"


def main() -> int:
    """Run everything until interrupted; 1 if a part is missing or fails."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="promotion-dev-") as folder:
            _run(Path(folder))
    except (MissingPart, ServiceFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
    finally:
        _ENVIRONMENT.unlink(missing_ok=True)
    return 0


def _run(folder: Path) -> None:
    print("starting the registry, the Pub/Sub emulator and the functions …", flush=True)
    with ExitStack() as parts:
        registry = parts.enter_context(docker_registry(folder / "registry"))
        emulator = parts.enter_context(pubsub_emulator(folder, _PROJECT))
        pubsub = parts.enter_context(PubSub(emulator.host, _PROJECT))
        text = three_stages(registry.host) + with_signals(_PROJECT) + signed(folder)
        stack = parts.enter_context(wired(folder, pubsub, text))
        control = parts.enter_context(controlled(folder, pubsub, text))
        file = folder / "promotion.yaml"
        _tell_make(stack, file)
        image = _push_sample(registry)
        print(_greeting(registry, emulator, stack, control, image, file), flush=True)
        for subscription in (EVENTS, DEAD_LETTERS):
            _print_arrivals(emulator.host, subscription)
        threading.Event().wait()


def _tell_make(stack: Stack, file: Path) -> None:
    """Let `make publish` and `make evaluate` in another terminal find the emulator and a topic."""
    _ENVIRONMENT.parent.mkdir(exist_ok=True)
    _ENVIRONMENT.write_text(for_make(stack.pubsub.host, stack.pubsub.project, file), "utf-8")


def for_make(emulator: str, project: str, file: Path) -> str:
    """What the Makefile includes.

    The promotion.yaml is for `make evaluate` alone: no other target is to take it for its own.
    """
    topics = f"projects/{project}/topics"
    return f"""\
export PUBSUB_EMULATOR_HOST := {emulator}
export PROMOTION_RESULTS_TOPIC := {topics}/{RESULTS}
export PROMOTION_SIGNALS_TOPIC := {topics}/{SIGNALS}
evaluate: export PROMOTION_CONFIG ?= {file}
"""


def _push_sample(registry: Service) -> str:
    repository = Repository(registry.host, "shop/fast-feedback/shop")
    client = RepositoryClient(repository, anonymous_transport())
    images.push_image(client, [images.layer({"hello": b"hello, world\n"})], tag="1.0.0")
    return f"{repository}:1.0.0"


def _greeting(
    registry: Service, emulator: Service, stack: Stack, control: Service, image: str, file: Path
) -> str:
    next_image = image.replace("fast-feedback", "extended-test")
    target = f"docker://{registry.host}/shop/fast-feedback/NAME:TAG"
    decides = f"--author me@example.com --url {control.url}"
    return f"""\
  registry   {registry.url}   (stages shop/fast-feedback, shop/extended-test, shop/prod)
  Pub/Sub    {emulator.url}   (topics {RESULTS}, {SIGNALS}, {EVENTS}, {DEAD_LETTERS})
  function   {stack.function.url}   (log: {stack.function.log})
  control    {control.url}   (log: {control.log})
  pipeline   {file}

A sample image is in fast-feedback. In a second terminal:

  make publish IMAGE={image} SUITE=functional OUTCOME=success WAIT=1
  make publish IMAGE={next_image} SUITE=extended OUTCOME=success WAIT=1
  .venv/bin/promotion status {image}
  skopeo list-tags --tls-verify=false docker://{registry.host}/shop/prod/shop

Decide about it, and have all looked at that waits:

  .venv/bin/promotion hold {next_image} --reason "odd figures" {decides}
  make evaluate ALL=1

Your own image: skopeo copy --dest-tls-verify=false SOURCE {target}
Promotion events and dead letters are printed here as they arrive. Ctrl-C ends everything.
"""


def _print_arrivals(host: str, subscription: str) -> None:
    def follow() -> None:
        # The emulator going away, at the end, is what ends this thread.
        with PubSub(host, _PROJECT) as pubsub, suppress(urllib3.exceptions.HTTPError):
            while True:
                for event in pubsub.pull(subscription, timeout=60):
                    print(describe(event), flush=True)

    threading.Thread(target=follow, daemon=True, name=subscription).start()


if __name__ == "__main__":
    sys.exit(main())
