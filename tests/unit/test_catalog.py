"""The catalog: which repositories a registry has, and what it means that it does not say."""

from __future__ import annotations

import json

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion.errors import AccessDenied, NotFound, RegistryRefused, UnsupportedContent
from promotion.registry import catalog
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport
from tests.unit.scripted import Answer, ScriptedServer


def listed(*names: object) -> bytes:
    """A page of names."""
    return json.dumps({"repositories": names}).encode()


def test_all_repositories_are_listed(
    near: EmbeddedRegistry, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, however many there are; one without content is none."""
    monkeypatch.setattr(catalog, "_PAGE", 2)
    names = ["a", "a/b", "a-b", "shop/prod/shop", "z"]
    for name in names:
        images.push_image(RepositoryClient(Repository(near.host, name), transport), [b"x"], "1")
    RepositoryClient(Repository(near.host, "nothing"), transport).put_blob(b"no manifest yet")
    found = catalog.repositories(near.host, transport)
    assert {each.path for each in found} == set(names)
    asked = [each.path for each in near.served if "_catalog" in each.path]
    assert asked[0] == "/v2/_catalog?n=2"
    assert len(asked) == 3


def test_an_empty_catalog_is_no_error(transport: Transport) -> None:
    """Nor is one that says so with null, as Go programs may."""
    with ScriptedServer(Answer(200, b'{"repositories": null}')) as server:
        assert catalog.repositories(server.host, transport) == []


def test_what_can_be_no_repository_is_left_out(transport: Transport) -> None:
    """Such a name would lead a request to another path of the registry."""
    names = ("../../admin", "Shop", "shop?x=", "shop/", "", "a" * 300, "shop", "a//b", "x y")
    with ScriptedServer(Answer(200, listed(*names))) as server:
        found = catalog.repositories(server.host, transport)
        assert found == [Repository(server.host, "shop")]


@pytest.mark.parametrize("content", [b"<html>", b"[]", listed(1), b'{"repositories": "shop"}'])
def test_what_is_no_list_is_an_error(content: bytes, transport: Transport) -> None:
    """It is not taken for an empty one."""
    with ScriptedServer(Answer(200, content)) as server:
        with pytest.raises(UnsupportedContent, match="no list of repositories"):
            catalog.repositories(server.host, transport)


def test_a_catalog_that_leads_in_a_circle_ends_in_an_error(transport: Transport) -> None:
    """It is not asked for ever."""
    again = {"Link": '</v2/_catalog?n=1000>; rel="next"'}
    with ScriptedServer(Answer(200, listed("shop"), again)) as server:
        with pytest.raises(UnsupportedContent, match="list the repositories"):
            catalog.repositories(server.host, transport)
        assert len(server.asked) == 1


def test_a_catalog_without_end_ends_in_an_error(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More names than any registry has are none that can be worked with."""
    monkeypatch.setattr(catalog, "MOST_NAMES", 3)
    pages = [
        Answer(200, listed("a", "b"), {"Link": f'<?page={number}>; rel="next"'})
        for number in range(9)
    ]
    with ScriptedServer(*pages) as server:
        with pytest.raises(UnsupportedContent, match="more than 3"):
            catalog.repositories(server.host, transport)
        assert len(server.asked) == 2


def test_a_page_that_is_missing_is_no_end(transport: Transport) -> None:
    """Where a link leads to nothing, the catalog is not taken to be complete."""
    first = Answer(200, listed("a"), {"Link": '<?last=a>; rel="next"'})
    with ScriptedServer(first, Answer(404)) as server:
        with pytest.raises(NotFound, match="list the repositories"):
            catalog.repositories(server.host, transport)


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_registry_without_a_catalog_says_what_to_do(status: int, transport: Transport) -> None:
    """It would answer so again, so nothing is gained by asking again."""
    with ScriptedServer(Answer(status)) as server:
        with pytest.raises(
            RegistryRefused, match="no catalog; have each image evaluated"
        ) as raised:
            catalog.repositories(server.host, transport)
        assert f"{server.host}: it answered {status}" in str(raised.value)
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_see_the_catalog_hears_which_right_it_takes(
    status: int, transport: Transport
) -> None:
    """The right can be granted meanwhile, so the message is delivered again."""
    with ScriptedServer(Answer(status)) as server:
        with pytest.raises(AccessDenied, match=r"scope registry:catalog:\*") as raised:
            catalog.repositories(server.host, transport)
        assert f"answered {status}" in str(raised.value)
