"""Instances of the function on their production server, their memory, and what they publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import memory
from dev.pubsub import PubSub, Received
from dev.services import Service, function_server
from dev.stack import DEAD_LETTERS, EVENTS, ROOT, function_environment

_QUIET_SECONDS = 2.0


@contextmanager
def instances(
    configuration: str, number: int, pubsub: PubSub, folder: Path
) -> Iterator[list[Service]]:
    """Run so many instances with this promotion.yaml, publishing to topics that are made for them.

    The events topic and the dead-letter topic each have a subscription of the same name, to pull.
    """
    folder.mkdir()
    for topic in (EVENTS, DEAD_LETTERS):
        pubsub.create_topic(topic)
        pubsub.create_subscription(topic, topic)
    environment = function_environment(folder, pubsub, configuration)
    environment |= {"LOG_LEVEL": "WARNING", "K_SERVICE": "load"}
    with ExitStack() as running:
        yield [
            running.enter_context(function_server(ROOT, environment, new_folder(folder, each)))
            for each in range(number)
        ]


def new_folder(folder: Path, number: int) -> Path:
    """Make a folder for one instance."""
    own = folder / str(number)
    own.mkdir()
    return own


def workers(functions: Sequence[Service]) -> list[int]:
    """The processes that the servers' masters have started."""
    return [worker for each in functions for worker in _children(each.pid)]


def peak_memory(functions: Sequence[Service]) -> float:
    """The most that any worker has had, in MiB."""
    return max(memory.peak(worker) for worker in workers(functions))


def pulled(pubsub: PubSub, subscription: str) -> list[Received]:
    """The messages that there are; one that was delivered twice counts once."""
    messages: dict[str, Received] = {}
    while arrived := pubsub.pull(subscription, timeout=_QUIET_SECONDS):
        messages |= {each.message_id: each for each in arrived}
    return list(messages.values())


def _children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]
