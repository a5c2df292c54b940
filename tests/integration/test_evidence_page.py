"""The shell lines of docs/evidence.md do what the page says, in both kinds of registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.registry import EmbeddedRegistry
from dev.services import MissingPart
from promotion.evidence import suite_run
from promotion.registry.transport import Transport
from tests.unit.attesting import STRANGER, attach, bundle
from tests.unit.forging import VERSION, SignedShop

PAGE = Path(__file__).parent.parent.parent / "docs" / "evidence.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
OTHER_TOOLS = [block for block in BLOCKS if block.startswith(("oras ", "crane "))]
LINES = [block for block in BLOCKS if block not in OTHER_TOOLS]


@dataclass
class Reader:
    """Somebody with a shell, the public key, and the right to read."""

    shop: SignedShop
    host: str
    folder: Path

    def run(self, *blocks: str) -> str:
        """Run blocks of the page one after the other in one shell; what the last one prints."""
        for program in ("bash", "curl", "jq", "openssl"):
            if not shutil.which(program):
                raise MissingPart(f"{program} is not installed: apt-get install {program}")
        mark = "the last block"
        script = "\n".join([*blocks[:-1], f"echo '{mark}'", blocks[-1]])
        repository = self.shop.stage("prod").repository
        environment = {
            **os.environ,
            "REGISTRY": f"http://{self.host}",
            "NAME": repository.path,
            "TAG": VERSION,
            "TOKEN": "none",
            "IMAGE": f"{repository}:{VERSION}",
        }
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return ended.stdout.partition(f"{mark}\n")[2]


@pytest.fixture(params=["docker-registry", "embedded registry"])
def reader(
    request: pytest.FixtureRequest, name: str, transport: Transport, tmp_path: Path
) -> Iterator[Reader]:
    """Somebody who looks at an image in prod, to which a stranger has attached something.

    The registry is a real one without the referrers API, or the embedded one, which has it.
    """
    if request.param == "docker-registry":
        yield _reader(request.getfixturevalue("registry").host, name, transport, tmp_path)
        return
    with EmbeddedRegistry(tmp_path / "registry") as registry:
        yield _reader(registry.host, name, transport, tmp_path)


def _reader(host: str, name: str, transport: Transport, folder: Path) -> Reader:
    shop = SignedShop(host, transport, folder, prefix=name)
    image = shop.push()
    forged = suite_run.write(shop.run(suite="forged", passed=False), image.digest)
    shop.promote(image)
    shop.report(image, "extended", "extended-test")
    attach(shop.stage("prod"), image, bundle(forged, STRANGER))
    reading = folder / "reader"
    reading.mkdir()
    shutil.copy(shop.public_key, reading / "promotion.pub.pem")
    return Reader(shop, host, reading)


def test_everything_that_is_attached_is_seen(reader: Reader) -> None:
    """The results and records of both promotions, and what a stranger has written."""
    assert sorted(reader.run(*LINES[:2]).splitlines()) == [
        "https://in-toto.io/attestation/test-result/v0.1\tFAILED",
        "https://in-toto.io/attestation/test-result/v0.1\tPASSED",
        "https://in-toto.io/attestation/test-result/v0.1\tPASSED",
        "https://in-toto.io/attestation/test-result/v0.1\tPASSED",
        "https://slsa.dev/verification_summary/v1\tPASSED",
        "https://slsa.dev/verification_summary/v1\tPASSED",
    ]


def test_the_record_is_found_and_verified(reader: Reader) -> None:
    """And shown, with where the image came from, where it went, and upon what."""
    shown = json.loads(reader.run(*LINES[:3]))
    assert shown["promotion_to"] == {
        "stage": "prod",
        "image": f"{reader.shop.stage('prod').repository}:{VERSION}",
    }
    assert len(shown["inputAttestations"]) == 2


def test_what_a_stranger_has_signed_does_not_pass(reader: Reader) -> None:
    """The lines tell apart what they show: of six statements, five verify."""
    count = 'for each in $(attested); do fetch "$each"; verified && echo "$each"; done; true'
    assert len(reader.run(*LINES[:3], count).splitlines()) == 5


def test_the_policy_is_found_and_is_the_one_that_judged(reader: Reader) -> None:
    """Its digest is the one in the record."""
    assert reader.run(*LINES) == "policy.yaml: OK\n"
    assert (reader.folder / "policy.yaml").read_text(encoding="utf-8") == reader.shop.text


@pytest.mark.parametrize("block", OTHER_TOOLS, ids=lambda block: block.partition(" ")[0])
def test_other_tools_find_it(reader: Reader, block: str) -> None:
    """Where they are installed."""
    tool = block.partition(" ")[0]
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    assert reader.run(block)
