"""What the smoke test reports of a registry is what that registry does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dev.artifact_registry import Answers, ArtifactRegistry, Grants
from operate.probes import Probes
from operate.witness import witnessed
from promotion.registry.connections import Connections
from promotion.registry.credentials import GivenToken
from promotion.registry.reference import Repository

TOKEN = "a-token"
WRITER: Grants = {"acme-dev/shop": "writer", "acme-prod/shop": "writer"}
Ask = Callable[..., dict[str, str]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Asks a registry that gives these answers, as somebody with these rights."""

    def ask(
        answers: Answers | None = None,
        grants: Grants = WRITER,
        immutable_tags: bool = True,
        there: str = "acme-prod/shop/prod/probe",
    ) -> dict[str, str]:
        connections = Connections()
        with ArtifactRegistry(
            tmp_path / "registry",
            tokens={TOKEN: grants},
            immutable_tags=immutable_tags,
            answers=answers,
        ) as registry:
            transport, witness = witnessed(GivenToken(TOKEN), connections, {})
            here = Repository(registry.host, "acme-dev/shop/test/probe")
            probes = Probes(transport, witness, here, Repository(registry.host, there))
            found = probes.ask("0.0.1")
            transport.close()
        return {each.question: each.found for each in found}

    return ask


def test_a_registry_as_it_is_guessed_to_be(ask: Ask) -> None:
    """The profile's default answers are found out."""
    found = ask()
    refused = found.pop("immutable_tag_status")
    assert "refused: " in refused
    assert "400" in refused
    assert "cannot update tag 0.0.1" in refused
    assert found == {
        "bearer_token_writes": "yes: uploads and manifests were taken with the access token as it"
        " is",
        "cross_project_mount": "yes: 201",
        "mount_without_source": "yes: 201",
        "same_digest_again": "yes",
        "referrers_lag": "none: listed at once",
    }


def test_a_registry_that_answers_otherwise(ask: Ask) -> None:
    """Each other answer is told from the default."""
    found = ask(
        Answers(
            bearer_token_writes=False,
            cross_project_mount=False,
            mount_without_source=202,
            same_digest_again=False,
            immutable_tag_status=409,
            referrers_lag=2,
        )
    )
    assert found["bearer_token_writes"].startswith("no: 401, Bearer realm=")
    assert found["cross_project_mount"] == "no: 202, an upload was opened instead"
    assert found["mount_without_source"] == "no: 202, an upload was opened instead"
    assert found["same_digest_again"].startswith("no: Could not write the manifest")
    assert "409" in found["immutable_tag_status"]
    assert found["referrers_lag"].startswith("missing from the first 2 lists, for ")


def test_tags_that_can_be_moved(ask: Ask) -> None:
    """A repository without immutable tags is told of; within one project a mount is a mount."""
    found = ask(immutable_tags=False, there="acme-dev/shop/prod/probe")
    assert found["immutable_tag_status"] == "the tag was moved: tags are NOT immutable here"
    assert found["mount"] == "yes: 201"


def test_somebody_who_may_not_write_everywhere(ask: Ask) -> None:
    """What this identity has no right to ask is not taken for an answer of the registry."""
    found = ask(grants={"acme-dev/shop": "writer", "acme-prod/shop": "reader"})
    assert found["cross_project_mount"].startswith("not answered, since this identity may not")
    assert found["same_digest_again"] == "yes"
