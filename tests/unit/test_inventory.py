"""What stages hold, as registries list it: Artifact Registry through Google's API, others not."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from dev import images
from dev.artifact_registry.lists import ArtifactRegistryLists
from dev.registry import EmbeddedRegistry
from promotion import log
from promotion.artifact_registry import GoogleArtifactRegistry
from promotion.errors import (
    AccessDenied,
    BadReference,
    NotFound,
    RegistryUnavailable,
    UnsupportedContent,
)
from promotion.inventory import RegistryInventory
from promotion.registry.client import RepositoryClient
from promotion.registry.credentials import Anonymous, GivenToken
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport

TENANT = "projects/acme/locations/europe-west2/repositories/tenant"
ONE = "sha256:" + "1" * 64
TWO = "sha256:" + "2" * 64


@pytest.fixture
def google() -> Iterator[ArtifactRegistryLists]:
    """Google's API, with one repository that two stages are in."""
    with ArtifactRegistryLists() as lists:
        lists.repositories[TENANT] = {
            "shop/fast-feedback/shop": {"1.4.2": ONE, "1.4.3": TWO},
            "shop/fast-feedback/team/api": {"0.1.0": TWO},
            "shop/fast-feedback-old/shop": {"9.9.9": TWO},
            "shop/prod/shop": {"1.4.2": ONE},
            "elsewhere": {"1": ONE},
        }
        yield lists


@pytest.fixture
def inventory(google: ArtifactRegistryLists, transport: Transport) -> RegistryInventory:
    """One look at it all."""
    return RegistryInventory(transport, GoogleArtifactRegistry(Anonymous(), google.endpoint))


def stage(path: str, host: str = "europe-west2-docker.pkg.dev") -> Repository:
    """Where a stage is."""
    return Repository(host, path)


def test_a_stage_in_artifact_registry(
    inventory: RegistryInventory, google: ArtifactRegistryLists
) -> None:
    """Its names and tags, with what they name; of other stages' tags not one is asked for."""
    assert inventory.images(stage("acme/tenant/shop/fast-feedback")) == {
        "shop": {"1.4.2": ONE, "1.4.3": TWO},
        "team/api": {"0.1.0": TWO},
    }
    names, *tags = google.asked
    assert names.startswith(f"/v1/{TENANT}/packages?")
    assert ["team" in path for path in sorted(tags)] == [False, True]


def test_a_stage_that_is_a_whole_repository(inventory: RegistryInventory) -> None:
    """Names may have slashes, and no part of them is the stage's."""
    found = inventory.images(stage("acme/tenant"))
    assert found["elsewhere"] == {"1": ONE}
    assert found["shop/prod/shop"] == {"1.4.2": ONE}


def test_a_project_of_a_domain(google: ArtifactRegistryLists, inventory: RegistryInventory) -> None:
    """The project's name takes two parts of the path."""
    google.repositories["projects/example.com:acme/locations/us/repositories/tenant"] = {
        "prod/shop": {"1": ONE}
    }
    found = inventory.images(stage("example.com/acme/tenant/prod", "us-docker.pkg.dev"))
    assert found == {"shop": {"1": ONE}}


def test_each_thing_is_asked_once(
    inventory: RegistryInventory, google: ArtifactRegistryLists
) -> None:
    """A stage is looked at as the one and as the next; their repository has one list of names."""
    for _ in range(2):
        inventory.images(stage("acme/tenant/shop/fast-feedback"))
        inventory.images(stage("acme/tenant/shop/prod"))
    assert len(google.asked) == len(set(google.asked)) == 1 + 2 + 1


def test_lists_of_many_pages(inventory: RegistryInventory, google: ArtifactRegistryLists) -> None:
    """All pages count, of names as of tags."""
    google.largest_page = 2
    google.repositories[TENANT] = {
        f"prod/{name}": {f"1.0.{number}": ONE for number in range(5)} for name in "abcdefghijk"
    }
    found = inventory.images(stage("acme/tenant/prod"))
    assert sorted(found) == list("abcdefghijk")
    assert all(list(tags) == [f"1.0.{number}" for number in range(5)] for tags in found.values())


def test_each_page_is_a_line_in_the_log_of_requests(
    inventory: RegistryInventory, google: ArtifactRegistryLists, caplog: pytest.LogCaptureFixture
) -> None:
    """As each is a request."""
    caplog.set_level(logging.DEBUG, log.REQUESTS)
    google.largest_page = 2
    google.repositories[TENANT] = {"prod/shop": {f"1.0.{number}": ONE for number in range(5)}}
    inventory.images(stage("acme/tenant/prod"))
    messages = [each.getMessage() for each in caplog.records if each.name == log.REQUESTS]
    service = "google.devtools.artifactregistry.v1.ArtifactRegistry"
    assert [message.rsplit(" ", 2)[0] for message in messages] == [
        f"{service}.ListPackages {TENANT} OK",
        *[f"{service}.ListTags {TENANT}/packages/prod%2Fshop OK"] * 3,
    ]
    assert len(messages) == len(google.asked)


def test_as_many_as_there_can_be_are_asked_for_at_once(
    inventory: RegistryInventory, google: ArtifactRegistryLists
) -> None:
    """Pages are as large as the API allows."""
    inventory.images(stage("acme/tenant/shop/prod"))
    assert all("pageSize=1000" in path for path in google.asked)


def test_a_list_of_google_without_end_ends_in_an_error(
    inventory: RegistryInventory, google: ArtifactRegistryLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not cut, which would lose images without a word."""
    monkeypatch.setattr("promotion.artifact_registry._MOST_PAGES", 2)
    google.largest_page = 1
    with pytest.raises(UnsupportedContent, match="list the packages of projects/acme"):
        inventory.images(stage("acme/tenant/shop/prod"))
    assert len(google.asked) == 2


def test_what_can_be_no_image_is_left_out(
    inventory: RegistryInventory, google: ArtifactRegistryLists
) -> None:
    """Neither a tag that is none, nor one that names no digest."""
    google.repositories[TENANT] = {"prod/shop": {"a b": ONE, "-x": ONE, "1": "latest", "2": ONE}}
    assert inventory.images(stage("acme/tenant/prod")) == {"shop": {"2": ONE}}


@pytest.mark.parametrize(
    ("status", "kind"), [(403, AccessDenied), (404, NotFound), (503, RegistryUnavailable)]
)
def test_refusals_of_google_have_their_meaning(
    status: int, kind: type[Exception], google: ArtifactRegistryLists, transport: Transport
) -> None:
    """The text names the repository, and never the token."""
    google.refusal = (status, "said token-secret")
    api = GoogleArtifactRegistry(GivenToken("token-secret"), google.endpoint)
    with pytest.raises(kind, match=f"list the packages of {TENANT}") as raised:
        RegistryInventory(transport, api).images(stage("acme/tenant/prod"))
    assert "token-secret" not in str(raised.value)


def test_a_stage_in_no_repository_of_google_is_an_error(inventory: RegistryInventory) -> None:
    """The text shows what a place in a repository looks like."""
    with pytest.raises(BadReference, match="write LOCATION-docker"):
        inventory.images(stage("acme"))


def push(registry: EmbeddedRegistry, transport: Transport, name: str, *tags: str) -> None:
    """Push an image under some tags."""
    client = RepositoryClient(Repository(registry.host, name), transport)
    for tag in tags:
        images.push_image(client, [b"x"], tag)


def test_a_stage_elsewhere(
    near: EmbeddedRegistry, transport: Transport, inventory: RegistryInventory
) -> None:
    """Its names are in the catalog, their tags are with each; what they name is not told."""
    push(near, transport, "shop/fast-feedback/shop", "1.4.2", "1.4.3")
    push(near, transport, "shop/fast-feedback/team/api", "0.1.0")
    push(near, transport, "shop/fast-feedback-old/shop", "9.9.9")
    push(near, transport, "shop/fast-feedback", "not-in-the-stage")
    before = len(near.served)
    for _ in range(2):
        assert inventory.images(stage("shop/fast-feedback", near.host)) == {
            "shop": {"1.4.2": None, "1.4.3": None},
            "team/api": {"0.1.0": None},
        }
    assert sorted(each.path for each in near.served[before:]) == [
        "/v2/_catalog?n=1000",
        "/v2/shop/fast-feedback/shop/tags/list",
        "/v2/shop/fast-feedback/team/api/tags/list",
    ]


def test_more_names_than_are_asked_about_at_once(
    near: EmbeddedRegistry, transport: Transport, inventory: RegistryInventory
) -> None:
    """Each name has its own tags in the end."""
    for number in range(20):
        push(near, transport, f"prod/{number}", f"1.0.{number}")
    found = inventory.images(stage("prod", near.host))
    assert found == {str(number): {f"1.0.{number}": None} for number in range(20)}
