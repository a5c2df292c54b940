"""A deployment's topics on the emulator, and the operator's commands run against them."""

from __future__ import annotations

import json
from pathlib import Path

from dev.pubsub import PubSub
from operate import cli


class Operated:
    """Topics of two pipelines, their subscriptions, and the dead letters' own.

    The subscriptions that lead to the function are pulled from by tests instead.

    Attributes:
        topics: The topic of each pipeline, by its full name.
        outputs: The file with what Terraform puts out.
    """

    def __init__(self, pubsub: PubSub, folder: Path, public_key: str = "") -> None:
        self.pubsub = pubsub
        self.topics = {name: pubsub.create_topic(f"{name}-results") for name in ("shop", "till")}
        self.subscriptions = {
            name: pubsub.create_subscription(
                f"{name}-results",
                topic,
                ack_deadline=600,
                dead_letter_topic=pubsub.create_topic(f"{name}-dead-letter"),
            )
            for name, topic in self.topics.items()
        }
        self.dead_letters = pubsub.create_topic("dead-letter")
        pubsub.create_subscription("dead-letter", "dead-letter", ack_deadline=600)
        self.outputs = folder / "outputs.json"
        self.tell(public_key=public_key)

    def tell(self, **changes: object) -> None:
        """Write the outputs, with some of them changed."""
        project = f"projects/{self.pubsub.project}"
        values = {
            "results_topics": self.topics,
            "push_subscriptions": {
                self.subscriptions[name]: topic for name, topic in self.topics.items()
            },
            "events_topic": f"{project}/topics/events",
            "dead_letter_topic": self.dead_letters,
            "dead_letter_subscription": f"{project}/subscriptions/dead-letter",
            **changes,
        }
        self.outputs.write_text(json.dumps({"deployment": {"value": values}}), encoding="utf-8")

    def run(self, target: str, *arguments: str) -> int:
        """Run a command; its exit code."""
        given = ["--project", "acme-ci", "--outputs", str(self.outputs)]
        return cli.main([target, *given, *arguments], {})

    def replay(self, *arguments: str) -> int:
        """Replay dead letters; the emulator shows at once what there is."""
        return self.run("replay-dead-letters", "--quiet-seconds", "0.3", *arguments)

    def left(self) -> list[bytes]:
        """The dead letters that are there; they are gone afterwards."""
        return sorted(each.data for each in self.pubsub.pull("dead-letter", timeout=0))
