"""What Artifact Registry's profile holds: manifests, tags, referrers, the list of tags."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest

from dev.artifact_registry import Answers
from tests.unit.artifact_registry.asking import DESTINATION, As, Serve, refusal
from tests.unit.wire import CONFIG, IMAGE, INDEX, LAYER, Client, descriptor, digest_of, image

# Manifests and tags


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("code", ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"])
def test_absent_blobs(
    serve: Serve,
    client: As,
    code: Literal["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"],
    status: Literal[400, 404],
) -> None:
    """A manifest whose blobs are not there is refused, with one error that names them."""
    registry = serve(Answers(absent_blobs_code=code, absent_blobs_status=status))
    operator = client(registry, "operator")
    operator.push_blob(DESTINATION, CONFIG)
    answer = operator.push(DESTINATION, "1.0", image(LAYER, b"another"))
    absent = f"{digest_of(LAYER)}, {digest_of(b'another')}"
    message = f"Manifest references unknown blob(s): {absent}"
    assert refusal(answer) == (status, code, message)


@pytest.mark.parametrize("status", [400, 403, 409])
def test_immutable_tag(serve: Serve, client: As, status: int) -> None:
    """An immutable tag cannot be moved or deleted; new tags and digests are welcome."""
    registry = serve(Answers(immutable_tag_status=status), immutable_tags=True)
    keeper = client(registry, "keeper")
    digest = keeper.push_image(DESTINATION, "1.0")
    refused = (
        status,
        "MANIFEST_INVALID",
        "manifest invalid: cannot update tag 1.0. The repository has enabled tag immutability",
    )
    assert refusal(keeper.push(DESTINATION, "1.0", image())) == refused
    for reference in ("1.0", digest):
        assert refusal(keeper.ask("DELETE", f"/v2/{DESTINATION}/manifests/{reference}")) == refused
    other = keeper.push_image(DESTINATION, digest_of(image()), image())
    assert keeper.push(DESTINATION, "1.1", image()).status == 201
    named = keeper.ask("HEAD", f"/v2/{DESTINATION}/manifests/1.0")
    assert named.headers["Docker-Content-Digest"] == digest != other


@pytest.mark.parametrize(("accepted", "status"), [(True, 201), (False, 400)])
def test_same_digest_again(serve: Serve, client: As, accepted: bool, status: int) -> None:
    """What an immutable tag names already is accepted again, or refused like anything else."""
    registry = serve(Answers(same_digest_again=accepted), immutable_tags=True)
    operator = client(registry, "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.push(DESTINATION, "1.0", image(LAYER)).status == status


def test_tags_that_become_immutable(serve: Serve, client: As) -> None:
    """A tag can be moved until the repository is told otherwise."""
    registry = serve()
    operator = client(registry, "operator")
    operator.push_image(DESTINATION, "1.0")
    assert operator.push(DESTINATION, "1.0", image()).status == 201
    registry.immutable_tags = True
    assert operator.push(DESTINATION, "1.0", image(LAYER)).status == 400


def test_race_for_an_immutable_tag(serve: Serve, client: As) -> None:
    """Of many that push to one tag at once, one gets it."""
    operator = client(serve(immutable_tags=True), "operator")
    operator.push_blob(DESTINATION, CONFIG)
    manifests = [image(annotations={"number": str(number)}) for number in range(8)]
    with ThreadPoolExecutor(len(manifests)) as threads:
        pushes = [threads.submit(operator.push, DESTINATION, "1.0", each) for each in manifests]
    statuses = sorted(push.result().status for push in pushes)
    assert statuses == [201, *[400] * 7]


# Referrers


def push_referrer(client: Client, **more: object) -> tuple[str, bytes]:
    """Push an image and a manifest about it; the answer is the image's digest and that manifest."""
    subject = client.push_image(DESTINATION, "1.0")
    referrer = image(subject=descriptor(image(LAYER), IMAGE), artifactType="text/sbom", **more)
    assert client.push(DESTINATION, digest_of(referrer), referrer).status == 201
    return subject, referrer


def referrers_of(client: Client, digest: str) -> list[dict[str, Any]]:
    """List what refers to a manifest."""
    answer = client.ask("GET", f"/v2/{DESTINATION}/referrers/{digest}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    found: list[dict[str, Any]] = answer.json()["manifests"]
    return found


@pytest.mark.parametrize("sizes_are_true", [True, False])
def test_referrers(serve: Serve, client: As, sizes_are_true: bool) -> None:
    """Referrers are listed by the registry; their sizes may be wrong, as has been seen."""
    operator = client(serve(Answers(referrer_sizes_are_true=sizes_are_true)), "operator")
    subject, referrer = push_referrer(operator)
    (listed,) = referrers_of(operator, subject)
    assert (listed["digest"], listed["artifactType"]) == (digest_of(referrer), "text/sbom")
    assert (listed["size"] == len(referrer)) is sizes_are_true


def test_referrers_that_come_late(serve: Serve, client: As) -> None:
    """A new referrer may be missing from the next lists."""
    operator = client(serve(Answers(referrers_lag=2)), "operator")
    subject, _ = push_referrer(operator)
    assert [len(referrers_of(operator, subject)) for _ in range(4)] == [0, 0, 1, 1]


@pytest.mark.parametrize("tagged", [True, False])
def test_tag_of_referrers(serve: Serve, client: As, tagged: bool) -> None:
    """The registry may maintain the fallback tag, immutable or not."""
    operator = client(serve(Answers(referrer_tags=tagged), immutable_tags=True), "operator")
    subject, _ = push_referrer(operator)
    push_referrer(operator, annotations={"number": "2"})
    tags = operator.ask("GET", f"/v2/{DESTINATION}/tags/list").json()["tags"]
    tag = subject.replace(":", "-")
    assert tags == (["1.0", tag] if tagged else ["1.0"])
    if tagged:
        index = operator.ask("GET", f"/v2/{DESTINATION}/manifests/{tag}").json()
        assert len(index["manifests"]) == 2


@pytest.mark.parametrize(("accepted", "status"), [(True, 201), (False, 404)])
def test_referrer_before_its_subject(serve: Serve, client: As, accepted: bool, status: int) -> None:
    """A manifest may come before its subject, as the specification wants, or may not."""
    operator = client(serve(Answers(absent_subject=accepted)), "operator")
    operator.push_blob(DESTINATION, CONFIG)
    referrer = image(subject=descriptor(image(LAYER), IMAGE))
    assert operator.push(DESTINATION, digest_of(referrer), referrer).status == status


# The list of tags


def test_tags(serve: Serve, client: As) -> None:
    """The list of tags describes each manifest, with a tag or without, and what is below."""
    operator = client(serve(), "operator")
    tagged = operator.push_image(DESTINATION, "1.0")
    operator.push(DESTINATION, "latest", image(LAYER))
    untagged = operator.push_image(DESTINATION, digest_of(image()), image())
    listed = operator.ask("GET", f"/v2/{DESTINATION}/tags/list").json()
    assert (listed["name"], listed["tags"], listed["child"]) == (DESTINATION, ["1.0", "latest"], [])
    assert {digest: each["tag"] for digest, each in listed["manifest"].items()} == {
        tagged: ["1.0", "latest"],
        untagged: [],
    }
    entry = listed["manifest"][tagged]
    assert entry["mediaType"] == IMAGE
    assert entry["imageSizeBytes"] == str(len(LAYER) + len(CONFIG))
    assert abs(int(entry["timeUploadedMs"]) / 1000 - time.time()) < 60


def test_images_of_a_repository(serve: Serve, client: As) -> None:
    """The list of a repository that holds images, and is none, names these."""
    operator = client(serve(), "operator")
    for name in ("app", "team/api"):
        operator.push_image(f"acme-prod/shop/{name}", "1.0")
    listed = operator.ask("GET", "/v2/acme-prod/shop/tags/list").json()
    assert (listed["child"], listed["tags"], listed["manifest"]) == (["app", "team"], [], {})
    assert operator.ask("GET", "/v2/acme-prod/shop/none/tags/list").status == 404


@pytest.mark.parametrize("query", ["", "?n=2", "?n=10000"])
def test_pages(serve: Serve, client: As, query: str) -> None:
    """A long list comes in pages, with what their tags name; the last has what is without a tag."""
    operator = client(serve(largest_page=2), "operator")
    for tag in ("a", "b", "c"):
        operator.push_image(DESTINATION, tag, image(annotations={"tag": tag}))
    operator.push_image(DESTINATION, digest_of(image()), image())
    first = operator.ask("GET", f"/v2/{DESTINATION}/tags/list{query}")
    link = re.fullmatch(r'<(.+)>; rel="next"', first.headers["Link"])
    assert link
    last = operator.ask("GET", link[1])
    assert "Link" not in last.headers
    pages = [
        sorted(each["tag"] for each in answer.json()["manifest"].values())
        for answer in (first, last)
    ]
    assert pages == [[["a"], ["b"]], [[], ["c"]]]
