"""``promotion status``: the registries alone answer where an image is, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.stack import three_stages
from promotion import cli, policy
from promotion.evidence.store import EvidenceStore
from promotion.evidence.suite_run import SuiteRun
from promotion.keys import PrivateKey
from promotion.messages import Outcome
from promotion.policy import Policy
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Repository
from promotion.signing import KeyFileSigner, TrustAll
from tests.unit.shop import PUBLISHED, Shop

Ask = Callable[..., dict[str, Any]]


def place(shop: Shop, stage: str = "fast-feedback") -> str:
    """The image's name in a stage, without a tag."""
    return str(shop.stage(stage).repository)


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Asks for the status of version 1.0 as JSON; the answer, with the exit code in it."""

    def ask(
        image: str = "", *options: str, environment: dict[str, str] | None = None
    ) -> dict[str, Any]:
        code = cli.main(
            ["status", "--json", *options, image or f"{place(shop)}:1.0"], environment or {}
        )
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {**report, "code": code}

    return ask


def way(report: dict[str, Any], stage: str = "fast-feedback") -> dict[str, Any]:
    """What a report says of the way out of a stage."""
    (found,) = [each for each in report["stages"] if each["stage"] == stage]
    return dict(found["promotions"][0])


def codes(outlook: dict[str, Any]) -> list[str]:
    """The codes of the findings."""
    return [finding["code"] for finding in outlook["findings"]]


def two_suites(shop: Shop) -> None:
    """Let the first gate ask for two suites."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace("[functional]", "[functional, nft]")


def written_for(shop: Shop, folder: Path) -> str:
    """The path of a file with the shop's promotion.yaml."""
    file = folder / "promotion.yaml"
    file.write_text(shop.promotion_yaml, encoding="utf-8")
    return str(file)


def test_what_is_missing_is_named(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees where the image is, what it waits for, and the run that has succeeded."""
    two_suites(shop)
    digest = shop.push().digest
    shop.handle(replace(shop.result(digest), url="https://ci.example/run/7"))
    assert cli.main(["status", f"{place(shop)}:1.0"], {}) == 0
    shown = capsys.readouterr().out
    assert digest in shown
    assert "wait   suite nft has not reported from fast-feedback\n" in shown
    assert "(https://ci.example/run/7)" in shown
    assert "promotion-policy:20260131T120000Z-" in shown


def test_what_a_finding_rests_on_is_shown_when_asked_for(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each statement by the name under which anyone can fetch and verify it."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    (run,) = shop.evidence("fast-feedback", digest).runs
    assert cli.main(["status", "--explain", f"{place(shop)}:1.0"], {}) == 0
    shown = capsys.readouterr().out
    assert "fast-feedback → extended-test: PROMOTE" in shown
    assert f"2026-01-31 12:00:00 UTC  {place(shop)}@{run.basis.attestation}" in shown


@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [(Outcome.SUCCESS, "promoted", 0), (Outcome.FAILURE, "deny", 1), (Outcome.ERROR, "wait", 3)],
)
def test_the_exit_code_tells(shop: Shop, ask: Ask, outcome: Outcome, state: str, code: int) -> None:
    """0 promoted, 1 denied, 3 waiting; without the option asking alone succeeds."""
    two_suites(shop)
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.handle(shop.result(digest, suite="nft", outcome=outcome))
    report = ask("", "--exit-code")
    assert (way(report)["state"], report["code"]) == (state, code)
    assert ask()["code"] == 0


def test_since_when_it_is_where(shop: Shop, ask: Ask) -> None:
    """The promotion record tells since when an image has been in a stage."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    shop.now += timedelta(hours=2)
    shop.handle(shop.result(digest, "extended-test", "extended"))
    since = [(each["here"], each["since"]) for each in ask()["stages"]]
    assert since == [
        (True, None),
        (True, "2026-01-31T12:00:00+00:00"),
        (True, "2026-01-31T14:00:00+00:00"),
    ]


def test_a_moved_tag_is_shown_with_both_digests(shop: Shop, ask: Ask) -> None:
    """Asked for the digest that was tested, it tells what the tag names now."""
    tested = shop.push().digest
    shop.handle(shop.result(tested, outcome=Outcome.FAILURE))
    now = shop.push(content=b"pushed over it").digest
    outlook = way(ask(f"{place(shop)}:1.0@{tested}"))
    (finding,) = [each for each in outlook["findings"] if each["code"] == "tag-moved"]
    assert tested in finding["message"]
    assert now in finding["message"]


def test_a_conflict_is_shown_with_both_digests(
    shop: Shop, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    """The version is taken in the next stage: by which digest, and by which it is not."""
    digest = shop.push().digest
    other = shop.push("extended-test", content=b"other").digest
    shop.handle(shop.result(digest))
    (finding,) = [each for each in way(ask())["findings"] if each["code"] == "tag-conflict"]
    assert digest in finding["message"]
    assert other in finding["message"]
    cli.main(["status", f"{place(shop)}:1.0"], {})
    assert f"no: it has {other}" in capsys.readouterr().out


def test_a_digest_is_enough(shop: Shop, ask: Ask) -> None:
    """The version is the tag that names it."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    report = ask(f"{place(shop)}@{digest}")
    assert (report["version"], report["digest"]) == ("1.0", digest)


def test_a_name_is_enough(shop: Shop, ask: Ask) -> None:
    """The version is the highest one."""
    for tag in ("1.9.0", "1.10.0", "latest", "1.0"):
        image = shop.push(tag=tag)
    shop.handle(shop.result(image.digest))
    assert ask(place(shop))["version"] == "1.10.0"


def test_a_file_may_judge_instead(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    """With another promotion.yaml one sees what it would say, with nothing stored."""
    shop.push()
    file = tmp_path / "promotion.yaml"
    file.write_text(three_stages(shop.near.host, shop.far.host).replace("functional", "smoke"))
    report = ask("", "--config", str(file))
    assert report["policy"] == str(file)
    assert codes(way(report)) == ["suite-missing"]


def test_nothing_is_written(shop: Shop, ask: Ask) -> None:
    """The right to read is enough."""
    shop.handle(shop.result(shop.push().digest))
    writes = shop.writes()
    ask()
    assert shop.writes() == writes


def test_what_does_not_count_is_shown_as_ignored(shop: Shop, ask: Ask, tmp_path: Path) -> None:
    """Forged statements are told from signed ones by the keys that are stored with the policy."""
    key = PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.to_pem())
    signing = f"signing: {{key: {tmp_path / 'key.pem'}}}\n"
    shop.written = three_stages(shop.near.host, shop.far.host) + signing
    image = shop.push()
    shop.handle(shop.result(image.digest, suite="lint"))
    (tmp_path / "other.pem").write_bytes(PrivateKey.generate().to_pem())
    forger = EvidenceStore(KeyFileSigner(str(tmp_path / "other.pem")), TrustAll())
    run = SuiteRun(
        "shop",
        "fast-feedback",
        place(shop),
        "1.0",
        "functional",
        passed=True,
        finished_at=PUBLISHED,
    )
    repository = shop.stage("fast-feedback")
    forger.attach(repository, image, run, forger.read(image.digest, [repository]))
    (tmp_path / "key.pem").unlink()
    report = ask()
    assert way(report)["state"] == "wait"
    (ignored,) = report["ignored"]
    assert "no trusted key has signed it" in ignored["reason"]


def test_a_registry_that_does_not_answer_is_no_reason_to_say_nothing(
    shop: Shop, ask: Ask, free_host: Callable[[], str]
) -> None:
    """What the others know is told, and what could not be asked."""
    silent = free_host()
    shop.written = three_stages(shop.near.host, silent)
    shop.handle(shop.result(shop.push().digest))
    report = ask()
    assert way(report)["state"] == "promoted"
    assert [silent in each["problem"] for each in report["stages"]] == [False, True, True]


def test_an_access_token_is_shown_to_the_image_s_registry_alone(shop: Shop, ask: Ask) -> None:
    """Where the stored policy leads was not decided by whoever gave the token."""
    digest = shop.push().digest
    shop.handle(shop.result(digest))
    before = len(shop.near.served), len(shop.far.served)
    ask(environment={"SOURCE_ACCESS_TOKEN": "marked"})
    near, far = shop.near.served[before[0] :], shop.far.served[before[1] :]
    assert {each.authorization for each in near} == {"Bearer"}
    assert {each.authorization for each in far} == {""}


def test_why_it_is_not_in_a_stage_is_asked_by_its_name_there(
    shop: Shop, ask: Ask, tmp_path: Path
) -> None:
    """What has not got to a stage is found in the nearest one before; so the exit code tells."""
    shop.handle(shop.result(shop.push().digest))
    judge = "--config", written_for(shop, tmp_path)
    asked_for = f"{place(shop, 'prod')}:1.0", "--exit-code", *judge
    report = ask(*asked_for)
    assert codes(way(report, "extended-test")) == ["promoted-here", "suite-missing"]
    assert [each["here"] for each in report["stages"]] == [True, True, False]
    assert report["code"] == 3
    shop.handle(shop.result(report["digest"], "extended-test", "extended", Outcome.FAILURE))
    assert ask(*asked_for)["code"] == 1


def test_what_is_in_the_stage_is_not_looked_for_elsewhere(
    shop: Shop, ask: Ask, tmp_path: Path
) -> None:
    """Whatever the stages before have under the same version."""
    there = shop.push("extended-test", content=b"other").digest
    shop.handle(shop.result(shop.push().digest))
    judge = "--config", written_for(shop, tmp_path)
    assert ask(f"{place(shop, 'extended-test')}:1.0", *judge)["digest"] == there


def test_without_a_policy_it_says_what_to_do(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the function has taken a result for the stage, a file has to be named."""
    shop.push()
    assert cli.main(["status", f"{place(shop)}:1.0"], {}) == 1
    complaint = capsys.readouterr().err
    assert "No policy is stored beside" in complaint
    assert "--config, or the image in the stage where it is" in complaint


def test_an_image_that_does_not_exist_is_an_error(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said so, with the stages that were looked in, and nothing else."""
    shop.handle(shop.result(shop.push().digest))
    assert cli.main(["status", f"{place(shop, 'extended-test')}:2.0"], {}) == 1
    printed = capsys.readouterr()
    assert "2.0 does not exist: it is not in extended-test, fast-feedback;" in printed.err
    assert printed.out == ""


def test_what_others_have_written_does_not_steer_the_terminal(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refs and links come from whoever reports; they are shown, and not obeyed."""
    text = three_stages(shop.near.host, shop.far.host)
    shop.written = text.replace(
        "suites: [functional]", "suites: [functional]\n          refs: [main]"
    )
    result = shop.result(shop.push().digest)
    shop.handle(replace(result, ref="\x1b[2J", url="https://ci.example/\x1b]0;all is well\x07"))
    assert cli.main(["status", f"{place(shop)}:1.0"], {}) == 0
    printed = capsys.readouterr().out
    assert "ran on \ufffd[2J, and only main may leave (https://ci.example/\ufffd]0;all" in printed
    assert printed.replace("\n", "").isprintable()


def test_an_error_does_not_steer_the_terminal_either(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy beside the image may be anybody's, and is quoted where it is wrong."""
    result = shop.result(shop.push().digest)
    shop.handle(result)
    beside = RepositoryClient(
        policy.repository_of(Repository(shop.near.host, "shop/fast-feedback")), shop.transport
    )
    planted = Policy(b'pipelines: {"\\e[2J": 1}')
    for content in (b"{}", planted.text):
        beside.put_blob(content)
    beside.put_manifest(
        planted.manifest, f"{PUBLISHED + timedelta(days=1):%Y%m%dT%H%M%SZ}-{'a' * 12}"
    )
    assert cli.main(["status", f"{place(shop)}:1.0"], {}) == 1
    said = capsys.readouterr().err
    assert "pipelines.\ufffd[2J" in said
    assert said.replace("\n", "").isprintable()
