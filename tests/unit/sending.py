"""The deployed functions as senders reach them, and what can be sent that changes a verdict."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask import Flask
from flask.testing import FlaskClient

from dev.anonymous import anonymous_transport
from dev.registry import EmbeddedRegistry
from dev.stack import ROOT
from promotion import identity, publisher
from tests.topics import RecordedTopic
from tests.unit.google_tokens import AUDIENCE, certificates
from tests.unit.scripted import ScriptedServer
from tests.unit.trusting import LONG_AGO, RESULTS, SIGNALS, VERSION, WORDS, Place, World

Content = dict[str, Any]


@dataclass
class Site:
    """The two functions, deployed for one world, as whoever reaches them over HTTP sees them."""

    world: World
    promote: FlaskClient
    control: FlaskClient
    dead_letters: RecordedTopic

    def deliver(
        self, content: Content, subscription: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Push a message as Pub/Sub does, which writes the subscription; it is acknowledged."""
        push = pushed(content, subscription, attributes)
        assert self.promote.post("/", json=push).status_code == 200

    def decide(self, status: int, headers: Mapping[str, str], content: Content) -> None:
        """Send a decision; the answer has that status."""
        answer = self.control.post("/", json=content, headers=dict(headers))
        assert answer.status_code == status, answer.text


Sites = Callable[[str, str], Site]


def pushed(
    content: Content, subscription: str, attributes: Mapping[str, str] | None = None
) -> Content:
    """The body of a wrapped push."""
    message = {
        "attributes": dict(attributes or {}),
        "data": base64.b64encode(json.dumps(content).encode()).decode(),
        "messageId": "7",
        "publishTime": datetime.now(UTC).isoformat(),
    }
    return {"message": message, "subscription": subscription, "deliveryAttempt": 1}


def application(target: str) -> Flask:
    """An entry point as the framework serves it, read anew with the present environment."""
    kind = "cloudevent" if target == "promote" else "http"
    app: Flask = functions_framework.create_app(  # type: ignore[no-untyped-call]
        target, str(ROOT / "main.py"), kind
    )
    return app


@contextmanager
def sites(folder: Path) -> Iterator[Sites]:
    """Gives a deployment for each name, made for a kind, which all forgeries are tried on."""
    made: dict[str, Site] = {}
    transport = anonymous_transport()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedServer(certificates()) as google,
        EmbeddedRegistry(folder / "registry") as registry,
    ):
        verifier = partial(identity.GoogleToken, certificates=f"http://{google.host}/certs")
        patch.setattr(identity, "GoogleToken", verifier)

        def site(name: str, kind: str) -> Site:
            if name not in made:
                path = name.replace(" ", "-")
                world = World(registry.host, path, transport, folder)
                dead_letters = RecordedTopic()
                topics = {"dead-letters": dead_letters, "": RecordedTopic()}
                patch.setattr(publisher, "topic", topics.__getitem__)
                configuration = folder / f"{path}.yaml"
                configuration.write_text(world.text)
                patch.setenv("PROMOTION_CONFIG", str(configuration))
                patch.setenv("PROMOTION_DEAD_LETTER_TOPIC", "dead-letters")
                patch.setenv("PROMOTION_CONTROL_AUDIENCE", AUDIENCE)
                promote, control = (
                    application(each).test_client() for each in ("promote", "control")
                )
                made[name] = Site(world, promote, control, dead_letters)
                _prepare(world, kind)
            return made[name]

        yield site
        transport.close()
    root.handlers[:] = handlers
    root.setLevel(level)


READY = ("success", "deployment", "approval", "promote")
"""All that the image in extended-test lacks; the first of them would be stated by a message."""


def _prepare(world: World, kind: str) -> None:
    sent = {**MESSAGES, **DECISIONS}[kind]
    for before in ("record", *sent.after):
        world.state(WORDS[before], LONG_AGO)


@dataclass(frozen=True)
class Sent:
    """A message or a decision.

    Attributes:
        content: What it says of a place and its digest, of a moment.
        through: The subscription that it must come through; "" for a decision.
        after: What is stated before, for it to matter.
        dated: Whether it names a moment.
        of_digest: Whether it names the image's digest.
    """

    content: Callable[[Place, str, datetime], Content]
    through: str = ""
    after: tuple[str, ...] = ()
    dated: bool = True
    of_digest: bool = True


def _result(outcome: str) -> Callable[[Place, str, datetime], Content]:
    return lambda place, digest, at: {
        "image": f"{place.repository}:{VERSION}",
        "digest": digest,
        "suite": "extended",
        "outcome": outcome,
        "finished_at": at.isoformat(),
    }


def _deployed(place: Place, digest: str, at: datetime) -> Content:
    image = f"{place.repository}:{VERSION}"
    return {"image": image, "digest": digest, "deployed_at": at.isoformat()}


def _incident(state: str) -> Callable[[Place, str, datetime], Content]:
    def said(place: Place, digest: str, at: datetime) -> Content:  # noqa: ARG001
        labels = {"pipeline": place.pipeline, "stage": place.stage, "image": place.name}
        incident = {
            "incident_id": "0.image",
            "state": state,
            "started_at": (LONG_AGO if state == "closed" else at).timestamp(),
            "ended_at": at.timestamp() if state == "closed" else None,
            "policy_user_labels": labels,
        }
        return {"version": "1.2", "incident": incident}

    return said


def _evaluate(place: Place, digest: str, at: datetime) -> Content:  # noqa: ARG001
    return {"evaluate": {"image": f"{place.repository}:{VERSION}", "digest": digest}}


def _decision(action: str, **more: Any) -> Callable[[Place, str, datetime], Content]:
    return lambda place, digest, _: {
        "action": action,
        "image": f"{place.repository}:{VERSION}",
        "digest": digest,
        "reason": "looked at it",
        **more,
    }


def _of_stage(action: str) -> Callable[[Place, str, datetime], Content]:
    return lambda place, _digest, _at: {
        "action": action,
        "pipeline": place.pipeline,
        "stage": place.stage,
        "reason": "looked at it",
    }


MESSAGES: dict[str, Sent] = {
    "success": Sent(_result("success"), RESULTS),
    "failure": Sent(_result("failure"), RESULTS),
    "deployment": Sent(_deployed, RESULTS),
    "alert": Sent(_incident("open"), SIGNALS, of_digest=False),
    "all-clear": Sent(_incident("closed"), SIGNALS, ("alert",), of_digest=False),
    "evaluate": Sent(_evaluate, SIGNALS, READY, dated=False),
}
DECISIONS: dict[str, Sent] = {
    "approve": Sent(_decision("approve")),
    "override": Sent(_decision("override", gates=["suites"])),
    "promote": Sent(_decision("promote")),
    "hold": Sent(_decision("hold")),
    "release": Sent(_decision("release"), after=("hold",)),
    "revoke": Sent(_decision("revoke")),
    "hold of the stage": Sent(_of_stage("hold"), of_digest=False),
    "release of the stage": Sent(
        _of_stage("release"), after=("hold of the stage",), of_digest=False
    ),
}


Way = Callable[[Site, Sent], None]


def content(site: Site, sent: Sent, place: Place | None = None, at: datetime = LONG_AGO) -> Content:
    """What is sent, about the image or from another place, of long ago or of another moment."""
    world = site.world
    return sent.content(place or world.place, world.image.digest, at)


def through(subscription: str) -> Way:
    """Have it delivered through a subscription."""
    return lambda site, sent: site.deliver(content(site, sent), subscription)
