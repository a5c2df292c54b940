"""What the embedded registry lists: tags, repositories, referrers."""

from __future__ import annotations

import re
from pathlib import Path

import urllib3

from dev.registry import EmbeddedRegistry
from tests.unit.wire import (
    ABSENT,
    CONFIG,
    CONFIG_TYPE,
    IMAGE,
    INDEX,
    LAYER,
    Client,
    descriptor,
    digest_of,
    errors,
    image,
)


def test_tag_pages(client: Client) -> None:
    """Tags come in the order of their names, and the link leads to those that follow."""
    for tag in ("c", "a", "e", "b", "d"):
        client.push_image("team/app", tag)
    pages, following = [], "/v2/team/app/tags/list?n=2"
    while following:
        answer = client.ask("GET", following)
        pages.append(answer.json()["tags"])
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        following = link[1] if link else ""
    assert pages == [["a", "b"], ["c", "d"], ["e"]]


def test_catalog_pages(client: Client) -> None:
    """Repositories that something was pushed to are listed, in the order of their names."""
    for name in ("team/app", "app", "team", "z"):
        client.push_image(name, "1.0")
    client.begin("only/begun")
    first = client.ask("GET", "/v2/_catalog?n=3")
    assert first.json() == {"repositories": ["app", "team", "team/app"]}
    link = re.fullmatch(r'<(.+)>; rel="next"', first.headers["Link"])
    assert link
    rest = client.ask("GET", link[1])
    assert (rest.json(), "Link" in rest.headers) == ({"repositories": ["z"]}, False)


def test_tags_of_no_repository(client: Client) -> None:
    """A repository is known once something was pushed to it."""
    answer = client.ask("GET", "/v2/app/tags/list")
    assert (answer.status, errors(answer)) == (404, [("NAME_UNKNOWN", None)])


def test_referrers(client: Client) -> None:
    """Manifests are listed with their subject, even if that one comes later or never."""
    subject = descriptor(image(LAYER), IMAGE)
    typed = image(subject=subject, artifactType="text/sbom", annotations={"by": "a tool"})
    untyped = image(subject=subject)
    client.push_blob("app", CONFIG)
    for manifest in (typed, untyped):
        pushed = client.push("app", digest_of(manifest), manifest)
        assert (pushed.status, pushed.headers["OCI-Subject"]) == (201, subject["digest"])
    answer = client.ask("GET", f"/v2/app/referrers/{subject['digest']}")
    listed = answer.json()
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    assert (listed["schemaVersion"], listed["mediaType"]) == (2, INDEX)
    assert sorted(listed["manifests"], key=lambda each: each["size"], reverse=True) == [
        descriptor(typed, IMAGE, artifactType="text/sbom", annotations={"by": "a tool"}),
        descriptor(untyped, IMAGE, artifactType=CONFIG_TYPE),
    ]


def test_referrers_of_a_type(client: Client) -> None:
    """The list can be narrowed to one type, and says that it was."""
    subject = descriptor(image(LAYER), IMAGE)
    client.push_blob("app", CONFIG)
    for kind in ("text/sbom", "text/signature"):
        client.push("app", kind[5:], image(subject=subject, artifactType=kind))
    path = f"/v2/app/referrers/{subject['digest']}"
    answer = client.ask("GET", f"{path}?artifactType=text/sbom")
    assert [each["artifactType"] for each in answer.json()["manifests"]] == ["text/sbom"]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert "OCI-Filters-Applied" not in client.ask("GET", path).headers


def test_no_referrers(client: Client) -> None:
    """What nothing refers to has an empty list, also after its referrer was deleted."""
    subject = client.push_image("app", "1.0")
    referrer = image(subject=descriptor(image(LAYER), IMAGE))
    client.push_image("app", digest_of(referrer), referrer)
    client.ask("DELETE", f"/v2/app/manifests/{digest_of(referrer)}")
    for digest in (subject, ABSENT):
        assert client.ask("GET", f"/v2/app/referrers/{digest}").json()["manifests"] == []


def test_without_referrers_api(tmp_path: Path, pool: urllib3.PoolManager) -> None:
    """A registry of the first edition knows neither the route nor the header."""
    with EmbeddedRegistry(tmp_path, referrers_api=False) as registry:
        client = Client(pool, registry.host)
        client.push_blob("app", CONFIG)
        pushed = client.push("app", "1.0", image(subject=descriptor(image(LAYER), IMAGE)))
        assert pushed.status == 201
        assert "OCI-Subject" not in pushed.headers
        answer = client.ask("GET", f"/v2/app/referrers/{digest_of(image(LAYER))}")
    assert (answer.status, answer.data) == (404, b"404 page not found\n")
