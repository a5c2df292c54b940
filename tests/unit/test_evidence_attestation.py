"""The form in which a registry keeps a statement, as cosign and oras know it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promotion.dsse import LARGEST
from promotion.evidence import attestation
from promotion.evidence.statement import NotAStatement
from promotion.registry.manifest import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Blob, Manifest
from promotion.registry.reference import Digest, digest_of
from tests.unit.attesting import AT, KEY, bundle

BUNDLE = bundle(b"{}", KEY)
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
IMAGE = Manifest(DOCKER_LIST, digest_of(b"an index"), b"an index")


def written() -> dict[str, Any]:
    """What is written to attach BUNDLE to IMAGE."""
    said: dict[str, Any] = json.loads(attestation.manifest(IMAGE, BUNDLE, TEST_RESULT, AT).content)
    return said


def as_manifest(said: object, media_type: str = OCI_MANIFEST) -> Manifest:
    """JSON as a manifest."""
    content = json.dumps(said).encode()
    return Manifest(media_type, digest_of(content), content)


def test_it_has_the_form_of_cosigns_bundle_specification() -> None:
    """Type, empty config, one layer with a file name, subject, and three annotations."""
    assert written() == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": BUNDLE_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [
            {
                "mediaType": BUNDLE_TYPE,
                "digest": digest_of(BUNDLE),
                "size": len(BUNDLE),
                "annotations": {
                    "org.opencontainers.image.title": (
                        f"{digest_of(BUNDLE).replace(':', '-')}.sigstore.json"
                    )
                },
            }
        ],
        "subject": {"mediaType": DOCKER_LIST, "digest": IMAGE.digest, "size": 8},
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": TEST_RESULT,
            "org.opencontainers.image.created": "2026-01-31T12:00:00Z",
        },
    }


def test_the_same_statement_is_the_same_attestation() -> None:
    """Its bytes follow from what it holds."""
    first = attestation.manifest(IMAGE, BUNDLE, TEST_RESULT, AT)
    assert attestation.manifest(IMAGE, BUNDLE, TEST_RESULT, AT) == first
    assert first.digest == digest_of(first.content)


def test_its_bundle_is_found() -> None:
    """By digest and size, as the layer has them."""
    found = attestation.bundle_in(as_manifest(written()), IMAGE.digest, LARGEST)
    assert found == Blob(digest_of(BUNDLE), len(BUNDLE))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"subject": None}, "not well formed"),
        ({"subject": {"digest": f"sha256:{'0' * 64}"}}, "its manifest is about sha256:0000"),
        ({"layers": []}, "not well formed"),
        ({"layers": written()["layers"] * 2}, "not well formed"),
        ({"layers": [{**written()["layers"][0], "digest": "sha256:x"}]}, "not well formed"),
        (
            {"layers": [{**written()["layers"][0], "mediaType": "text/plain"}]},
            "it holds text/plain",
        ),
        ({"layers": [{**written()["layers"][0], "urls": ["https://x"]}]}, "be kept elsewhere"),
        ({"layers": [{**written()["layers"][0], "size": LARGEST + 1}]}, "131,073 bytes, and 131,0"),
        ({"layers": [{**written()["layers"][0], "size": -1}]}, "Expected `int` >= 0"),
        ({"layers": [{**written()["layers"][0], "digest": f"sha512:{'0' * 128}"}]}, "by sha512"),
        ({"config": None}, "not well formed"),
        (
            {"config": {**written()["config"], "digest": f"sha256:{'0' * 64}"}},
            "and not the empty one",
        ),
        ({"annotations": {"padding": "x" * 16 * 1024}}, "16,384 are read at most"),
    ],
)
def test_what_is_no_attestation_is_told(change: dict[str, Any], reason: str) -> None:
    """Also what could not be attached again at the image's next stage."""
    with pytest.raises(NotAStatement, match=reason):
        attestation.bundle_in(as_manifest({**written(), **change}), IMAGE.digest, LARGEST)


@pytest.mark.parametrize("content", [b"", b"[" * 10_000, b"null", b"\xff"])
def test_what_is_no_manifest_is_told(content: bytes) -> None:
    """No bytes lead to any other error."""
    with pytest.raises(NotAStatement, match="not well formed"):
        attestation.bundle_in(
            Manifest(OCI_MANIFEST, digest_of(content), content), IMAGE.digest, LARGEST
        )


def test_an_index_is_no_attestation() -> None:
    """Whatever fields it has besides its own."""
    with pytest.raises(NotAStatement, match="in a manifest of type"):
        attestation.bundle_in(as_manifest(written(), OCI_INDEX), IMAGE.digest, LARGEST)


def test_an_image_with_a_longer_digest_has_tags_too() -> None:
    """They are cut to what a tag may be, as the specification's own fallback tag is."""
    subject = Digest(f"sha512:{'ab' * 64}")
    tag = attestation.tag_of(subject, Digest(f"sha256:{'cd' * 32}"))
    assert len(tag) <= 128
    assert attestation.is_tag_for(subject, tag)
    assert not attestation.is_tag_for(IMAGE.digest, tag)


def test_a_tag_belongs_to_one_attestation_of_one_image() -> None:
    """It is made of both digests, and is a tag by the specification's grammar."""
    tag = attestation.tag_of(IMAGE.digest, Digest(f"sha256:{'ab' * 32}"))
    assert tag == f"{IMAGE.digest.replace(':', '-')}.{'ab' * 24}"
    assert len(tag) <= 128
    assert attestation.is_tag_for(IMAGE.digest, tag)


@pytest.mark.parametrize(
    "tag",
    [
        "1.4.2",
        IMAGE.digest.replace(":", "-"),
        f"{IMAGE.digest.replace(':', '-')}.sig",
        f"{IMAGE.digest.replace(':', '-')}.{'AB' * 24}",
        f"{IMAGE.digest.replace(':', '-')}.{'ab' * 25}",
        f"{'sha256-' + '0' * 64}.{'ab' * 24}",
    ],
)
def test_other_tags_are_not_looked_at(tag: str) -> None:
    """Versions, cosign's tags, the fallback tag, and those of other images."""
    assert not attestation.is_tag_for(IMAGE.digest, tag)
