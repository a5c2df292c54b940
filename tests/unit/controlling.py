"""The function that takes people's decisions, as they see it, started as the framework does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient

from dev import images
from dev.registry import EmbeddedRegistry
from dev.stack import ROOT, signed, three_stages
from promotion import configuration, control_log, publisher
from promotion.evidence.act import Act
from promotion.evidence.attested import Attested, Evidence
from promotion.evidence.store import EvidenceStore
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.promoting import evidence_store

WHY: dict[str, Any] = {"reason": "looked at it"}


@dataclass
class Function:
    """The deployed function, as people see it, and what it writes."""

    http: FlaskClient
    registry: EmbeddedRegistry
    transport: Transport
    store: EvidenceStore
    signals: RecordedTopic

    def repository(self, path: str) -> RepositoryClient:
        """A repository of the shop's registry."""
        return RepositoryClient(Repository(self.registry.host, f"shop/{path}"), self.transport)

    def push(self, stage: str = "fast-feedback", content: bytes = b"tested") -> tuple[str, Digest]:
        """Push version 1.0 to a stage; its name, and its digest."""
        place = self.repository(f"{stage}/shop")
        return f"{place.repository}:1.0", images.push_image(place, [content], tag="1.0").digest

    def ask(
        self, status: int, headers: dict[str, str] | None = None, **content: object
    ) -> dict[str, Any]:
        """Send a decision by somebody in development; the answer, which has that status."""
        body = content if headers is not None else {"author": "dev@acme.example", **content}
        answer = self.http.post("/", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.content_type == "application/json"
        return dict(json.loads(answer.data))

    def stated(self, image: str, digest: Digest) -> Attested[Act]:
        """The one act that is stated about an image."""
        place = RepositoryClient(Repository.parse(image.rpartition(":")[0]), self.transport)
        return only_act(self.store.read(digest, [place]))

    def stated_of_stage(self, stage: str) -> Evidence:
        """What is stated about a stage."""
        place = control_log.repository_of(self.repository(stage).repository)
        return control_log.read(RepositoryClient(place, self.transport), self.store)

    def evaluations(self) -> list[Any]:
        """What is asked to be judged again."""
        return [json.loads(event.data) for event in self.signals.events]


def only_act(evidence: Evidence) -> Attested[Act]:
    """The act that is stated, and no other."""
    assert not evidence.ignored
    (act,) = evidence.acts
    return act


Start = Callable[..., Function]


def starter(
    folder: Path, registry: EmbeddedRegistry, transport: Transport, patch: pytest.MonkeyPatch
) -> Start:
    """What starts the function with three stages, a signing key, and the environment given."""
    topics = {"signals": RecordedTopic(), "": RecordedTopic()}
    patch.setattr(publisher, "topic", topics.__getitem__)

    def start(host: str = "", **environment: str) -> Function:
        text = three_stages(host or registry.host) + signed(folder)
        file = folder / "promotion.yaml"
        file.write_text(text)
        settings = {
            "PROMOTION_CONFIG": str(file),
            "PROMOTION_DEV": "1",
            "PROMOTION_SIGNALS_TOPIC": "signals",
            "FUNCTION_TARGET": "control",
            **environment,
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        app = functions_framework.create_app(  # type: ignore[no-untyped-call]
            "control", str(ROOT / "main.py"), "http"
        )
        store = evidence_store(configuration.parse("promotion.yaml", text))
        return Function(app.test_client(), registry, transport, store, topics["signals"])

    return start
