"""The smoke test believes no event: what it says has to be found in the registry, and signed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import cast

import pytest

from dev.pubsub import PubSub
from dev.services import Service
from dev.stack import three_stages
from operate.deployment import Deployment
from operate.errand import NAME, Errand, Wish, errand
from operate.errors import OperationFailed
from operate.listening import Heard, Inbox
from operate.smoke import Smoke
from promotion import cli, configuration, events
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Reference
from promotion.registry.transport import Transport
from tests.unit.attesting import KEY

Rumour = Callable[[Errand, Reference], None]
"""What happens to an image before somebody says that it was promoted."""


class Liar:
    """Says of what was pushed that it was promoted, as an inbox tells."""

    def __init__(self, sent: Errand, transport: Transport, rumour: Rumour, says: str = "") -> None:
        self._sent = sent
        self._transport = transport
        self._rumour = rumour
        self._says = says

    def get(self, timeout: float) -> Heard:  # noqa: ARG002 - a queue's parameter
        """The event."""
        source = self._sent.source
        digest = RepositoryClient(source.repository, self._transport).resolve(source.tag)
        assert digest is not None
        self._rumour(self._sent, source.at(digest))
        content = {"destination": self._says or f"{self._sent.destinations[0].at(digest)}"}
        about = {"image": NAME, "version": source.tag, "ce-type": events.PROMOTED, "ce-id": "7"}
        return Heard("events", json.dumps(content).encode(), about)


def nothing(_: Errand, __: Reference) -> None:
    """Nothing."""


def copied(sent: Errand, image: Reference) -> None:
    """It is copied by somebody who records nothing."""
    assert cli.main(["copy", str(image), str(sent.destinations[0])], {}) == 0


@pytest.mark.parametrize(
    ("rumour", "says", "found"),
    [
        (nothing, "", "names None, and sha256:"),
        (copied, "", "has no promotion record that the deployment's key has signed: nothing is"),
        (nothing, "gcr.io/acme/shop:1@sha256:0", "Another image was promoted than was pushed"),
    ],
    ids=["nothing was copied", "nothing was recorded", "another image"],
)
def test_an_event_that_is_not_true(
    emulator: Service,
    registry: Service,
    transport: Transport,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    rumour: Rumour,
    says: str,
    found: str,
) -> None:
    """An event is refused whose image is not there, has no record, or is another one."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
    with PubSub(emulator.host, "smoke-lies") as pubsub:
        results = pubsub.create_topic(name[:60])
    pipelines = configuration.parse("promotion.yaml", three_stages(f"{registry.host}/{name}"))
    sent = errand(pipelines, Wish(), f"0.0.{time.time_ns() // 1_000_000}")
    deployment = Deployment({"shop": results}, {}, "events", "letters", "letters", KEY.public.pem)
    inbox = cast(Inbox, Liar(sent, transport, rumour, says))
    smoke = Smoke(deployment, sent, transport, inbox, lambda _: None)
    with pytest.raises(OperationFailed, match=found):
        smoke.run(patience=5)
