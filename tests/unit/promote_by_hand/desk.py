"""A person who promotes by hand, and what comes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from promotion import cli, configuration, control_log
from promotion.evidence.act import Act, Kind
from promotion.evidence.attested import Evidence
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from tests.unit.promoting import evidence_store
from tests.unit.shop import Shop

TOPIC = "projects/p/topics/promotion-events"


@dataclass
class Desk:
    """A person with the shop's promotion.yaml, and what the command printed last."""

    shop: Shop
    folder: Path
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def promote(
        self, *arguments: str, to: str = "extended-test", code: int = 0, **environment: str
    ) -> dict[str, Any]:
        """Promote version 1.0 of the shop, or what is named; the command's report."""
        stages = {"extended-test": "fast-feedback", "prod": "extended-test"}
        file = self.folder / "promotion.yaml"
        file.write_text(self.shop.promotion_yaml)
        given = {
            "PROMOTION_CONFIG": str(file),
            "SOURCE_REGISTRY": f"{self.shop.near.host}/shop",
            "SOURCE_STAGE": stages[to],
            "REGISTRY": f"{self.shop.stage(to).repository.host}/shop",
            "DEST_STAGE": to,
            **environment,
        }
        names = [each for each in arguments if not each.startswith("--")] or ["shop:1.0"]
        flags = [each for each in arguments if each.startswith("--")]
        assert cli.main(["promote", *names, *flags, "--json"], given) == code
        out, self.err = self.capsys.readouterr()
        report: dict[str, Any] = json.loads(out) if out else {}
        return report

    def decide(self, kind: Kind, stage: str = "fast-feedback", subject: str = "") -> None:
        """Let a person decide something about version 1.0 in a stage, or about the stage."""
        pipelines = configuration.parse("promotion.yaml", self.shop.promotion_yaml)
        store = evidence_store(pipelines)
        place = self.shop.stage(stage)
        of = "" if kind is Kind.REVOKE else stage
        about = subject or str(place.repository)
        act = Act(kind, "shop", of, about, "ann@example.com", "it loses orders", datetime.now(UTC))
        if subject:
            log = control_log.repository_of(Repository.parse(subject))
            control_log.state(RepositoryClient(log, self.shop.transport), act, store)
        else:
            store.attach(place, place.manifest("1.0"), act, Evidence())


def finding_codes(report: dict[str, Any]) -> list[str]:
    """The codes of the findings about the first image."""
    return [each["code"] for each in report["images"][0]["findings"]]
