"""What a promotion leaves at its destination, seen by a client that knows the standards alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from dev.registry import EmbeddedRegistry
from promotion.registry.transport import Transport
from tests.integration.independent import Place, is_signed
from tests.unit.attesting import STRANGER
from tests.unit.forging import VERSION, SignedShop

RECORD = "https://slsa.dev/verification_summary/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"


@dataclass
class Promoted:
    """An image that two suites have let into extended-test.

    Attributes:
        digest: Of the image.
        place: Its repository in extended-test.
    """

    shop: SignedShop
    digest: str
    place: Place
    folder: Path

    @property
    def statements(self) -> list[dict[str, Any]]:
        """What is signed there."""
        return self.place.statements(self.digest, self.shop.public_key, self.folder)

    @property
    def record(self) -> dict[str, Any]:
        """The predicate of the promotion's record."""
        (record,) = [each for each in self.statements if each["predicateType"] == RECORD]
        predicate: dict[str, Any] = record["predicate"]
        return predicate


@pytest.fixture(params=["docker-registry", "embedded registry"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A real registry without the referrers API, and the embedded one, which has it."""
    if request.param == "docker-registry":
        yield request.getfixturevalue("registry").host
        return
    with EmbeddedRegistry(tmp_path / "registry") as registry:
        yield registry.host


@pytest.fixture
def promoted(
    host: str, name: str, transport: Transport, tmp_path: Path, http: urllib3.PoolManager
) -> Promoted:
    """A promotion."""
    shop = SignedShop(host, transport, tmp_path, prefix=name)
    image = shop.push()
    shop.promote(image)
    place = Place(http, str(shop.stage("extended-test").repository))
    return Promoted(shop, image.digest, place, tmp_path)


def test_the_record_is_found_and_its_signature_holds(promoted: Promoted) -> None:
    """It says of this digest that it passed, and was let in here under this version."""
    (statement,) = [each for each in promoted.statements if each["predicateType"] == RECORD]
    (subject,) = statement["subject"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert f"sha256:{subject['digest']['sha256']}" == promoted.digest
    assert promoted.record["verificationResult"] == "PASSED"
    there = f"{promoted.shop.stage('extended-test').repository}:{VERSION}"
    assert promoted.record["promotion_to"] == {"stage": "extended-test", "image": there}


def test_what_it_rests_on_lies_beside_it(promoted: Promoted) -> None:
    """Every input attestation is found by its digest, and its signature holds as well."""
    stated = set()
    for each in promoted.record["inputAttestations"]:
        digest = f"sha256:{each['digest']['sha256']}"
        assert each["uri"].endswith(f"@{digest}")
        content = promoted.place.get(f"manifests/{digest}")
        assert hashlib.sha256(content).hexdigest() == each["digest"]["sha256"]
        bundle = promoted.place.bundle(digest)
        assert is_signed(bundle, promoted.shop.public_key, promoted.folder)
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        assert statement["predicateType"] == TEST_RESULT
        assert statement["predicate"]["result"] == "PASSED"
        stated.add(statement["predicate"]["configuration"][0]["name"])
    assert stated == {"functional", "nft"}


def test_the_policy_that_judged_is_found(promoted: Promoted, http: urllib3.PoolManager) -> None:
    """Its URI leads to an artifact whose promotion.yaml has the digest that the record names."""
    policy = promoted.record["policy"]
    repository, _, digest = policy["uri"].removeprefix("oci://").partition("@")
    place = Place(http, repository)
    layers = {
        each["mediaType"]: each["digest"]
        for each in json.loads(place.get(f"manifests/{digest}"))["layers"]
    }
    text = place.get(f"blobs/{layers['application/yaml']}")
    assert hashlib.sha256(text).hexdigest() == policy["digest"]["sha256"]
    assert text.decode() == promoted.shop.text
    keys = place.get(f"blobs/{layers['application/x-pem-file']}")
    assert keys == promoted.shop.public_key.read_bytes()


def test_the_check_would_notice(promoted: Promoted, tmp_path: Path) -> None:
    """A changed payload, and another key, do not pass it."""
    other = tmp_path / "other.pub.pem"
    other.write_text(STRANGER.public.pem, encoding="ascii")
    bundle = promoted.place.bundle(next(promoted.place.attestations(promoted.digest)))
    assert is_signed(bundle, promoted.shop.public_key, tmp_path)
    assert not is_signed(bundle, other, tmp_path)
    envelope = bundle["dsseEnvelope"]
    envelope["payload"] = base64.b64encode(base64.b64decode(envelope["payload"]) + b" ").decode()
    assert not is_signed(bundle, promoted.shop.public_key, tmp_path)
