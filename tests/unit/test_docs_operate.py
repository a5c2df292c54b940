"""What the page on running a deployment shows and reckons is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dev import images
from dev.registry import EmbeddedRegistry
from operate.deployment import Outputs
from promotion.messages import Outcome, TestResult
from promotion.registry.manifest import Manifest
from promotion.registry.reference import Reference
from promotion.registry.transport import Transport
from tests.topics import RecordedTopic
from tests.unit.forging import SignedShop
from tests.unit.operating import ROOT
from tests.unit.promoting import promoter

PAGE = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
MODULE = ROOT / "terraform"
needs_module = pytest.mark.skipif(
    not (MODULE / "variables.tf").exists(), reason="the module is not there"
)


def rows(heading: str) -> Iterator[list[str]]:
    """The rows of the table with this heading in its first cell, without their emphasis."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_every_target_shown_is_one() -> None:
    """Each `make` command names a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))
    shown = set(re.findall(r"make ([a-z-]+)\b(?= PROJECT| +PROJECT|`)", PAGE))
    assert shown >= {"bootstrap", "plan", "deploy", "destroy", "logs", "smoke"}
    assert shown <= targets


def test_every_variable_shown_is_one() -> None:
    """Each variable that is given to `make` is one that the Makefile uses."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)*)=", PAGE)) - {"REVISION"}:
        assert re.search(rf"\b{name}\b", makefile), name


def test_the_estimate_adds_up() -> None:
    """Amounts times prices are the costs, and these add up to the sums."""
    *parts, total = rows("one promotion")
    costs = [float(amount) * float(price) for _, amount, price, _, _ in parts]
    for cost, (_, _, _, thousand, million) in zip(costs, parts, strict=True):
        assert float(thousand) == pytest.approx(cost * 1e3, abs=0.0006)
        assert float(million) == pytest.approx(cost * 1e6, abs=0.006)
    assert float(total[3]) == pytest.approx(sum(costs) * 1e3, abs=0.006)
    assert float(total[4]) == pytest.approx(sum(costs) * 1e6, abs=0.02)


def test_requests_of_a_promotion(tmp_path: Path, transport: Transport) -> None:
    """A promotion takes no more requests, and writes, than the limits are reckoned with."""
    match = re.search(r"at most\s+(\d+) requests, of which (\d+) write", PAGE)
    assert match is not None
    with EmbeddedRegistry(tmp_path / "registry") as registry:
        shop = SignedShop(registry.host, transport, tmp_path)
        suites = ("functional", "integration", "nft")
        text = shop.text.replace("[functional, nft]", f"[{', '.join(suites)}]")
        function = promoter(text, transport, RecordedTopic())
        for tag in ("0.9", "1.0"):  # With the first, the policy is written.
            layers = [images.layer({tag: b"%d" % number}) for number in range(10)]
            image = images.push_image(shop.stage("fast-feedback"), layers, tag=tag)
            before = len(registry.served)
            for suite in suites:
                function.handle(
                    success(Reference(shop.stage("fast-feedback").repository, tag), image, suite)
                )
        served = registry.served[before:]
        assert shop.stage("extended-test").resolve("1.0") == image.digest
    written = [each for each in served if each.method in ("POST", "PUT", "PATCH")]
    assert 60 < len(served) <= int(match[1])
    assert 30 < len(written) <= int(match[2])


def success(reference: Reference, image: Manifest, suite: str) -> TestResult:
    """The result that a suite has succeeded just now."""
    now = datetime.now(UTC)
    return TestResult(reference, image.digest, suite, Outcome.SUCCESS, now, now)


@needs_module
def test_every_alert_is_explained() -> None:
    """The page has a row for each alert policy of the module."""
    text = (MODULE / "monitoring.tf").read_text(encoding="utf-8")
    made = re.findall(r'^ {6}display += "([^"]+)"', text, re.MULTILINE)
    assert made
    assert [row[0] for row in rows("alert")] == made


@needs_module
def test_the_deployment_passes_everything_on() -> None:
    """What `make deploy` runs gives the module each of its variables, under its own name."""
    declared = re.findall(
        r'^variable "([a-z_]+)"', (MODULE / "variables.tf").read_text(encoding="utf-8"), re.M
    )
    root = (MODULE / "deployment" / "main.tf").read_text(encoding="utf-8")
    module = root.partition("\nmodule ")[2]
    passed = re.findall(r"^  ([a-z_]+) += var\.\1$", module, re.MULTILINE)
    assert declared
    assert sorted(passed) == sorted(declared)


@needs_module
def test_the_outputs_that_are_read_are_there() -> None:
    """What `make smoke` and `make replay-dead-letters` read is put out by the module."""
    put_out = set(
        re.findall(
            r'^output "([a-z_]+)"', (MODULE / "outputs.tf").read_text(encoding="utf-8"), re.M
        )
    )
    assert set(Outputs.__struct_fields__) <= put_out
