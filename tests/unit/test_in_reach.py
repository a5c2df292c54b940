"""The configuration that commands find: a file, or what P2P's variables stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promotion import cli, gates
from promotion.commands.in_reach import file_in_reach, in_reach, p2p_pipeline
from promotion.errors import BadConfiguration
from promotion.messages import Outcome
from promotion.pipeline import Pipeline, Suite
from tests.unit.shop import Shop

REGISTRY = "europe-west2-docker.pkg.dev/acme-dev/tenant/shop"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without promotion.yaml."""
    monkeypatch.chdir(tmp_path)


def pipeline(**environment: str) -> Pipeline:
    """The one pipeline that variables describe."""
    (found,) = in_reach(environment).pipelines.pipelines
    return found


def places(found: Pipeline) -> list[str]:
    """Where the stages of a pipeline are."""
    return [str(stage.repository) for stage in found.stages.values()]


def test_p2ps_variables_give_its_pipeline() -> None:
    """Functional, nft and integration on main or a tag leave fast-feedback; extended the next."""
    found = pipeline(P2P_REGISTRY=REGISTRY)
    first, second, last = found.stages.values()
    assert places(found) == [
        f"{REGISTRY}/{each}" for each in ("fast-feedback", "extended-test", "prod")
    ]
    assert first.gate is not None
    assert first.gate.suites == (Suite("functional"), Suite("nft"), Suite("integration"))
    assert first.gate.refs == ("refs/heads/main", "refs/tags/*")
    assert second.gate is not None
    assert (second.gate.suites, second.gate.refs) == ((Suite("extended"),), ())
    assert (first.promotes_to, second.promotes_to) == (("extended-test",), ("prod",))
    assert (last.gate, last.promotes_to) == (None, ())
    gates.check_supported(in_reach({"P2P_REGISTRY": REGISTRY}).pipelines)


def test_paths_have_names_of_today_and_of_yesterday() -> None:
    """Where both are set, today's count."""
    yesterday = {"FAST_FEEDBACK_PATH": "ff", "EXTENDED_TEST_PATH": "et", "PROD_PATH": "p/"}
    found = pipeline(P2P_REGISTRY=f"{REGISTRY}/", P2P_REGISTRY_PROD_PATH="live", **yesterday)
    assert places(found) == [f"{REGISTRY}/{each}" for each in ("ff", "et", "live")]


def test_a_file_counts_for_more(tmp_path: Path) -> None:
    """The one that is named, then PROMOTION_CONFIG, then the one in this folder."""
    for name in ("promotion", "config", "named"):
        text = f"pipelines: {{{name}: {{stages: {{prod: {{registry: r.example/{name}}}}}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    environment = {"P2P_REGISTRY": REGISTRY}
    assert pipeline(**environment).name == "promotion"
    environment["PROMOTION_CONFIG"] = "config.yaml"
    assert pipeline(**environment).name == "config"
    assert in_reach(environment, "named.yaml").pipelines.pipelines[0].name == "named"


def test_without_either_the_file_is_missed() -> None:
    """The error is that of a file that is not there; a stand-in is no file."""
    with pytest.raises(BadConfiguration, match=r"promotion\.yaml cannot be read"):
        in_reach({})
    assert p2p_pipeline({}) is None
    assert file_in_reach({"P2P_REGISTRY": REGISTRY}) is None
    with pytest.raises(BadConfiguration, match=r"absent\.yaml cannot be read"):
        in_reach({"P2P_REGISTRY": REGISTRY, "PROMOTION_CONFIG": "absent.yaml"})


@pytest.mark.parametrize("registry", ["shop", "https://r.example/shop", "r.example/a: b"])
def test_what_is_no_registry_is_an_error(registry: str) -> None:
    """It says from where it is."""
    with pytest.raises(BadConfiguration, match="P2P_REGISTRY"):
        in_reach({"P2P_REGISTRY": registry})


def test_commands_take_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """`check`, `latest`, `status` and `promote --gate` find the stages without a file."""
    place = f"{shop.near.host}/shop"
    environment = {
        "P2P_REGISTRY": place,
        "SOURCE_REGISTRY": place,
        "SOURCE_STAGE": "fast-feedback",
        "REGISTRY": place,
        "DEST_STAGE": "extended-test",
    }

    def run(*arguments: str, code: int = 0) -> Any:
        assert cli.main([*arguments, "--json"], environment) == code
        return json.loads(capsys.readouterr().out)

    digest = shop.push(tag="1.0.0").digest
    stages = [each["stage"] for each in run("check")["stages"]]
    assert stages == ["fast-feedback", "extended-test", "prod"]
    assert run("latest", "shop", "--stage", "fast-feedback")["digest"] == digest
    image = f"{shop.stage('fast-feedback').repository}:1.0.0"
    status = run("status", image)
    assert status["policy"] == "the pipeline of P2P_REGISTRY"
    (way,) = status["stages"][0]["promotions"]
    assert [each["code"] for each in way["findings"]] == ["suite-missing"] * 3
    report = run("promote", "shop:1.0.0", "--gate", code=1)
    assert report["images"][0]["verdict"] == "WAIT"


def test_its_gate_promotes_what_its_suites_have_let_go(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody signs there, so an image needs no record to leave extended-test."""
    place = f"{shop.near.host}/shop"
    stand_in = p2p_pipeline({"P2P_REGISTRY": place})
    assert stand_in is not None
    shop.written = stand_in.text.replace("  p2p:\n", "  p2p:\n    mode: observe\n")
    image = shop.push("extended-test")
    shop.handle(shop.result(image.digest, "extended-test", "extended", Outcome.SUCCESS))
    environment = {"P2P_REGISTRY": place, "SOURCE_REGISTRY": place, "REGISTRY": place}
    stages = ["--source-stage", "extended-test", "--dest-stage", "prod"]
    code = cli.main(["promote", "shop:1.0", "--gate", *stages], environment)
    assert code == 0, capsys.readouterr()
    there = shop.stage("prod").repository
    assert f"{image.digest} is now at {place}/prod/shop:1.0" in capsys.readouterr().out
    assert there.path == "shop/prod/shop"
