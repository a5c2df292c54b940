"""What is attached to an image and does not count, and what is too much of it.

Each test runs on a registry with the referrers API and on one without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from promotion.dsse import Envelope
from promotion.errors import ContentMismatch, EvidenceMissing, NotFound
from promotion.evidence import attestation, suite_run
from promotion.evidence.attested import MOST, Evidence
from promotion.evidence.statement import PAYLOAD_TYPE
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Repository, digest_of
from promotion.registry.transport import Transport
from tests.unit.attesting import (
    KEY,
    RUN,
    STRANGER,
    another,
    attach,
    attach_manifest,
    bundle,
    read,
    reasons,
    state,
)

FORGERIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "unsigned": (bundle, "it is not signed"),
    "signed by a stranger": (
        lambda payload: bundle(payload, STRANGER),
        f"no trusted key has signed it; it names '{STRANGER.public.key_id}'",
    ),
    "two strangers' signatures": (
        lambda payload: bundle(payload, STRANGER, STRANGER),
        "no trusted key has signed it",
    ),
    "changed after it was signed": (
        lambda payload: Envelope(
            PAYLOAD_TYPE,
            payload.replace(b"FAILED", b"PASSED"),
            Envelope.from_bundle(bundle(payload.replace(b"PASSED", b"FAILED"), KEY)).signatures,
        ).to_bundle(),
        "no trusted key has signed it",
    ),
    "another payload type": (
        lambda payload: bundle(payload, KEY, payload_type="application/json"),
        "its payload is application/json, not application/vnd.in-toto+json",
    ),
    "no bundle": (lambda payload: payload, "it is not well formed"),
    "no JSON": (lambda _: b"\x00" * 100, "it is not well formed"),
    "deeply nested": (lambda _: b"[" * 100_000, "it is not well formed"),
    "no statement": (lambda _: bundle(b"{}", KEY), "it is not well formed"),
    "another predicate": (
        lambda payload: bundle(
            payload.replace(b"attestation/test-result/v0.1", b"attestation/release/v0.1"), KEY
        ),
        "its predicate is https://in-toto.io/attestation/release/v0.1, which no gate asks for",
    ),
    "too large a statement": (
        lambda payload: bundle(payload[:-1] + b" " * 64 * 1024 + b"}", KEY),
        "and 65,536 are read at most",
    ),
    "too large a bundle": (
        lambda payload: bundle(payload, KEY) + b" " * 128 * 1024,
        "and 131,072 are read at most",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_does_not_count_is_ignored_with_the_reason(
    place: RepositoryClient, image: Manifest, forgery: str
) -> None:
    """It is reported by its digest, and a real statement beside it counts as before."""
    forge, reason = FORGERIES[forgery]
    forged = attach(place, image, forge(suite_run.write(another(1), image.digest)))
    state(place, image)
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    (ignored,) = evidence.ignored
    assert ignored.attestation == forged.digest
    assert reason in ignored.reason


def test_a_statement_about_another_image_is_ignored(
    place: RepositoryClient, image: Manifest
) -> None:
    """A real one, attached to this image by somebody who can read that one."""
    other = images.push_image(place, [b"other"], tag="1.4.3")
    attach(place, image, bundle(suite_run.write(RUN, other.digest), KEY))
    (reason,) = reasons(read(place, image))
    assert "it is about" in reason
    assert f"attached to {image.digest}" in reason


def test_a_real_signature_beside_a_strangers_is_still_one(
    place: RepositoryClient, image: Manifest
) -> None:
    """Whoever adds a signature to a real statement has only repeated it."""
    state(place, image)
    attach(place, image, bundle(suite_run.write(RUN, image.digest), STRANGER, KEY))
    assert [each.said for each in read(place, image).runs] == [RUN]


def test_a_reason_can_be_shown_anywhere(place: RepositoryClient, image: Manifest) -> None:
    """What strangers write reaches neither a terminal as it is nor memory at any length."""
    hostile = "\x1b[2J\r\n" + "x" * 10_000
    attach(place, image, bundle(b"{}", KEY, payload_type=hostile))
    (reason,) = reasons(read(place, image))
    assert reason.isprintable()
    assert len(reason) < 500


@pytest.mark.parametrize(
    ("size", "reason"), [(100, "it has more than the 100 bytes"), (100_000, "and should have")]
)
def test_a_bundle_of_another_size_than_its_manifest_says_is_ignored(
    place: RepositoryClient, image: Manifest, size: int, reason: str
) -> None:
    """A false number, which anybody can write, does not hold up the image's evidence."""
    content = bundle(suite_run.write(RUN, image.digest), KEY)
    honest = attestation.manifest(image, content, suite_run.PREDICATE_TYPE, RUN.finished_at)
    said = json.loads(honest.content)
    said["layers"][0]["size"] = size
    false = json.dumps(said).encode()
    lying = Manifest(honest.media_type, digest_of(false), false)
    attach_manifest(place, image.digest, lying, content)
    state(place, image)
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    assert reason in reasons(evidence)[0]


def test_an_attestation_of_any_size_takes_little_memory(
    near: EmbeddedRegistry, transport: Transport
) -> None:
    """One that the referrers API says is too large to be one is not even fetched."""
    place = RepositoryClient(Repository(near.host, "shop/fast-feedback/shop"), transport)
    image = images.push_image(place, [b"tested"], tag="1.4.2")
    honest = attestation.manifest(image, b"{}", suite_run.PREDICATE_TYPE, RUN.finished_at)
    said = json.loads(honest.content)
    said["padding"] = "x" * 5 * 1024 * 1024
    content = json.dumps(said).encode()
    huge = Manifest(honest.media_type, digest_of(content), content)
    attach_manifest(place, image.digest, huge, b"{}")
    state(place, image)
    evidence = read(place, image)
    assert [each.said for each in evidence.runs] == [RUN]
    (ignored,) = evidence.ignored
    assert ignored.attestation == huge.digest
    assert "it is listed with 5,24" in ignored.reason
    assert not any(each.method == "GET" and each.path.endswith(huge.digest) for each in near.served)


def test_a_bundle_that_is_not_there_is_waited_for(place: RepositoryClient, image: Manifest) -> None:
    """It may be a failure: nothing is decided without it."""
    state(place, image)
    (run,) = read(place, image).runs
    remove(place, f"blobs/{run.bundle.digest}")
    with pytest.raises(NotFound):
        read(place, image)


def test_a_damaged_bundle_is_waited_for(
    place: RepositoryClient, image: Manifest, tmp_path: Path
) -> None:
    """Bytes that changed on the way are no reason to decide without the statement."""
    state(place, image)
    (run,) = read(place, image).runs
    kept = tmp_path / "either" / "content" / run.bundle.digest.replace(":", "/")
    kept.write_bytes(kept.read_bytes().replace(b"payload", b"daolyap"))
    with pytest.raises(ContentMismatch, match="do not have that digest"):
        read(place, image)


def test_a_statement_that_was_deleted_is_gone(place: RepositoryClient, image: Manifest) -> None:
    """Nothing of it is left, and nothing is in the way of what comes."""
    state(place, image)
    (run,) = read(place, image).runs
    remove(place, f"manifests/{run.basis.attestation}")
    assert read(place, image) == Evidence()
    state(place, image)
    assert [each.said for each in read(place, image).runs] == [RUN]


def test_a_statement_that_is_listed_and_not_there_is_waited_for(
    place: RepositoryClient, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the failure: nothing is decided upon what else there is."""
    state(place, image)
    monkeypatch.setattr(RepositoryClient, "find", lambda *_: None)
    with pytest.raises(EvidenceMissing, match="lists the statement"):
        read(place, image)


def test_a_statement_that_is_deleted_while_it_is_read_is_gone(
    place: RepositoryClient, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was listed, and is so no more."""
    state(place, image)
    (run,) = read(place, image).runs

    def find(repository: RepositoryClient, name: str) -> Manifest | None:
        monkeypatch.undo()
        remove(place, f"manifests/{run.basis.attestation}")
        return repository.find(name)

    monkeypatch.setattr(RepositoryClient, "find", find)
    assert read(place, image) == Evidence()


def test_two_hundred_statements_are_read(place: RepositoryClient, image: Manifest) -> None:
    """That many are no overflow, and one more is; what was read of it still speaks."""
    for number in range(MOST):
        attach(place, image, bundle(suite_run.write(another(number), image.digest), KEY))
    evidence = read(place, image)
    assert (len(evidence.runs), evidence.overflow) == (MOST, False)
    attach(place, image, bundle(b"{}", STRANGER))
    evidence = read(place, image)
    assert evidence.overflow
    assert len(evidence.runs) + len(evidence.ignored) == MOST


def remove(place: RepositoryClient, path: str) -> None:
    """Delete something, as a cleanup rule does."""
    import urllib3

    url = f"http://{place.repository.host}/v2/{place.repository.path}/{path}"
    with urllib3.PoolManager(retries=False) as http:
        assert http.request("DELETE", url, headers={"Connection": "close"}).status == 202
