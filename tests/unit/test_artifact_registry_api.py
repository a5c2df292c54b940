"""Artifact Registry's API: which repository is meant, who asks, and what its answers mean."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from promotion import log
from promotion.artifact_registry import (
    ENDPOINT_VARIABLE,
    Description,
    GoogleArtifactRegistry,
    RepositoryName,
    artifact_registry,
)
from promotion.errors import (
    AccessDenied,
    BadReference,
    NotFound,
    RegistryRefused,
    RegistryUnavailable,
)
from promotion.registry.credentials import GivenToken
from promotion.registry.reference import Repository
from tests.unit.artifact_registry_api import VERB, ArtifactRegistryApi, Resource, repository
from tests.unit.endpoint import Endpoint

TENANT = RepositoryName("acme", "europe-west2", "tenant")


@pytest.fixture
def api() -> Iterator[ArtifactRegistryApi]:
    """The API, with one repository."""
    with ArtifactRegistryApi() as api:
        api.repositories[str(TENANT)] = repository()
        yield api


@pytest.fixture
def asked(api: ArtifactRegistryApi) -> GoogleArtifactRegistry:
    """What asks it, with an access token."""
    return GoogleArtifactRegistry(GivenToken("token-secret"), api.endpoint)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "europe-west2-docker.pkg.dev/acme/tenant/shop/prod",
            "projects/acme/locations/europe-west2/repositories/tenant",
        ),
        ("us-docker.pkg.dev/acme/tenant", "projects/acme/locations/us/repositories/tenant"),
        (
            "us-docker.pkg.dev/example.com/acme/tenant/shop",
            "projects/example.com:acme/locations/us/repositories/tenant",
        ),
    ],
)
def test_a_reference_names_a_resource(text: str, name: str) -> None:
    """By the location in the host and the first parts of the path, with the project's domain."""
    assert str(RepositoryName.of(Repository.parse(text))) == name


@pytest.mark.parametrize(
    "text",
    [
        "us-docker.pkg.dev/acme",
        "us-docker.pkg.dev/example.com/acme",
        "us-python.pkg.dev/acme/tenant/shop",
        "docker.pkg.dev/acme/tenant/shop",
        "us-docker.pkg.dev.example.com/acme/tenant/shop",
    ],
)
def test_a_reference_to_no_repository_is_an_error(text: str) -> None:
    """The text shows what a place in a repository looks like."""
    with pytest.raises(BadReference, match=r"write LOCATION-docker\.pkg\.dev/PROJECT/REPOSITORY"):
        RepositoryName.of(Repository.parse(text))


def test_the_identitys_token_is_shown(
    api: ArtifactRegistryApi, asked: GoogleArtifactRegistry
) -> None:
    """With every question, as a bearer token."""
    assert asked.describe(TENANT) == Description("DOCKER", "STANDARD_REPOSITORY", True)
    assert asked.granted(TENANT, ["a"]) == frozenset()
    assert [each.authorization for each in api.asked] == ["Bearer token-secret"] * 2


def test_what_the_client_library_does_not_know_is_no_error(
    api: ArtifactRegistryApi, asked: GoogleArtifactRegistry
) -> None:
    """A format that is newer than the library is shown as its number."""
    api.repositories[str(TENANT)] = repository(format=4711)
    with pytest.warns(UserWarning, match="4711"):
        assert asked.describe(TENANT).format == "4711"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotFound),
        (400, RegistryRefused),
        (429, RegistryUnavailable),
        (500, RegistryUnavailable),
        (503, RegistryUnavailable),
    ],
)
@pytest.mark.parametrize("verb", ["", VERB])
def test_refusals_have_their_meaning(
    status: int, kind: type[Exception], verb: str, api: ArtifactRegistryApi
) -> None:
    """The text names the repository, and never the token."""
    api.repositories[str(TENANT)] = Resource(refusals={verb: (status, "said token-secret")})
    asked = GoogleArtifactRegistry(GivenToken("token-secret"), api.endpoint)
    with pytest.raises(kind) as raised:
        asked.granted(TENANT, ["a"]) if verb else asked.describe(TENANT)
    assert str(TENANT) in str(raised.value)
    assert "token-secret" not in str(raised.value)


def test_googles_own_endpoint_is_asked_as_the_environments_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an identity nothing is asked, and the text says how to get one."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "absent.json")
    for environment in ({}, {ENDPOINT_VARIABLE: "https://registry.example/"}):
        with pytest.raises(AccessDenied, match="gcloud auth application-default login"):
            artifact_registry(environment, Endpoint()).describe(TENANT)


def test_each_question_is_logged(
    api: ArtifactRegistryApi, asked: GoogleArtifactRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """By the API's name for it, with how it ended; and neither the token nor what was answered."""
    caplog.set_level(logging.DEBUG, log.REQUESTS)
    asked.describe(TENANT)
    api.repositories[str(TENANT)].refusals[VERB] = (403, "said token-secret")
    with pytest.raises(AccessDenied):
        asked.granted(TENANT, ["a"])
    messages = [each.getMessage() for each in caplog.records if each.name == log.REQUESTS]
    described, refused = [message.rsplit(" ", 2)[0] for message in messages]
    service = "google.devtools.artifactregistry.v1.ArtifactRegistry"
    assert described == f"{service}.GetRepository {TENANT} OK"
    assert refused == f"{service}.TestIamPermissions {TENANT} Forbidden"
    assert "token-secret" not in caplog.text
