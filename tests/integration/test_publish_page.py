"""The snippets of docs/publish-from-ci.md do what the page says, run as their CI would."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.auth import identity_pool

from dev.services import MissingPart
from tests.integration.busybox import Busybox
from tests.integration.ci_job import FAILED, PASSED, Job
from tests.integration.shop import EXTENDED_TEST, FAST_FEEDBACK, Shop

PAGE = Path(__file__).parent.parent.parent / "docs" / "publish-from-ci.md"
TEXT = PAGE.read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")}


def snippet(section: str, kind: str = "yaml") -> Any:
    """What a section shows, as it is parsed."""
    (text,) = re.findall(rf"```{kind}\n(.*?)```", SECTIONS[section], re.DOTALL)
    return yaml.safe_load(text)


def github() -> str:
    """The script of the step that publishes."""
    workflow = snippet("GitHub Actions")
    (step,) = [
        each
        for each in workflow["jobs"]["functional"]["steps"]
        if "promotion publish" in each.get("run", "")
    ]
    assert step["if"] == "${{ !cancelled() }}"
    assert {"IMAGE", "PROMOTION_RESULTS_TOPIC", "PROMOTION_PACKAGE", "RUN_URL"} <= {
        *workflow["env"]
    }
    assert workflow["permissions"]["id-token"] == "write"
    return str(step["run"])


def gitlab() -> str:
    """The lines of the job that publishes."""
    job = snippet("GitLab")["publish-functional"]
    assert {"IMAGE", "PROMOTION_RESULTS_TOPIC"} <= {*job["variables"]}
    return "\n".join(job["script"])


def cloud_build() -> str:
    """The script of the step that publishes."""
    build = snippet("Cloud Build")
    _, step = build["steps"]
    assert [each.partition("=")[0] for each in step["env"]] == ["IMAGE", "PROMOTION_RESULTS_TOPIC"]
    assert build["options"]["automapSubstitutions"] is True
    return str(step["script"])


# What each CI itself puts into the environment.
VARIABLES = {
    github: {
        "GITHUB_REF": "refs/tags/1.0.0",
        "GITHUB_SHA": "a" * 40,
        "RUN_URL": "https://github.example/acme/shop/actions/runs/7",
        "PROMOTION_PACKAGE": "git+https://git.example/acme/promotion@1",
    },
    gitlab: {
        "CI_COMMIT_TAG": "1.0.0",
        "CI_COMMIT_SHA": "a" * 40,
        "CI_PIPELINE_URL": "https://gitlab.example/acme/shop/-/pipelines/7",
        "GOOGLE_ID_TOKEN": "header.claims.signature",
        "PROMOTION_PACKAGE": "git+https://git.example/acme/promotion@1",
    },
    cloud_build: {
        "TAG_NAME": "1.0.0",
        "COMMIT_SHA": "a" * 40,
        "LOCATION": "europe-west2",
        "BUILD_ID": "7",
        "PROJECT_ID": "acme-ci",
        "_PROMOTION_PACKAGE": "git+https://git.example/acme/promotion@1",
    },
}


@pytest.fixture
def job(shop: Shop, busybox: Busybox, tmp_path: Path) -> Job:
    """A job that has tested an image, in whose shell pip installs nothing."""
    busybox.push(shop.image(FAST_FEEDBACK))
    job = Job(shop, tmp_path)
    job.provide("pip", '#!/bin/sh\necho "$@" > pip-was-asked-to\n')
    return job


@pytest.mark.parametrize("of_ci", VARIABLES)
def test_the_lines_of_each_ci_publish(job: Job, of_ci: Callable[[], str]) -> None:
    """The result has the ref, the commit and the run, and what is installed is what is pinned."""
    job.variables = VARIABLES[of_ci]
    job.report(FAILED)
    ended = job.shell(of_ci())
    assert ended.returncode == 0, ended.stderr
    event = job.shop.events.next()
    assert event.attributes["verdict"] == "DENY"
    (finding,) = json.loads(event.data)["findings"]
    assert finding["url"].startswith("https://")
    assert "7" in finding["url"]
    digest = job.shop.digest(FAST_FEEDBACK)
    (run,) = job.shop.evidence(FAST_FEEDBACK, str(digest)).runs
    assert (run.said.ref, run.said.commit) == ("refs/tags/1.0.0", "a" * 40)
    asked = (job.folder / "pip-was-asked-to").read_text(encoding="utf-8")
    assert asked == "install --quiet git+https://git.example/acme/promotion@1\n"


@pytest.mark.parametrize("of_ci", VARIABLES)
def test_publishing_is_one_line(of_ci: Callable[[], str]) -> None:
    """Of each script."""
    (line,) = [each for each in of_ci().splitlines() if each.startswith("promotion ")]
    assert " --junit reports/*.xml " in line


def test_the_first_line_shown_is_enough(job: Job) -> None:
    """Where no gate asks for a ref."""
    job.report(PASSED)
    assert job.shell(SHELL[0]).returncode == 0
    assert job.shop.events.next().attributes["verdict"] == "PROMOTE"


def test_still_waiting_can_be_taken_for_an_answer(job: Job) -> None:
    """As the page says, and a denial cannot."""
    (tail,) = re.findall(r"`promotion publish … (--wait \|\|[^`]*)`", TEXT)
    line = f'promotion publish "$IMAGE" --suite functional --outcome {{}} --timeout 0s {tail}'
    denied = line.format("failure").replace("--timeout 0s", "")
    assert job.shell(denied).returncode == 1
    job.publish_unheard()
    assert job.shell(line.format("success")).returncode == 0


def test_actions_are_pinned() -> None:
    """To a commit, with the version beside it."""
    used = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(used) == 3
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r"\s+# v\d+\.\d+\.\d+", comment)


def test_gitlab_s_token_is_what_google_s_library_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file that the job writes, for the pool that the token is made out to."""
    (tmp_path / "google.json").write_text(json.dumps(snippet("GitLab", "json")), encoding="utf-8")
    (tmp_path / ".google-id-token").write_text("header.claims.signature", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    credentials = identity_pool.Credentials.from_file("google.json")  # type: ignore[no-untyped-call]
    assert credentials.retrieve_subject_token(None) == "header.claims.signature"
    token = snippet("GitLab")["publish-functional"]["id_tokens"]["GOOGLE_ID_TOKEN"]
    assert token["aud"] == f"https:{credentials.info['audience']}"


def test_gcloud_publishes_without_python(job: Job) -> None:
    """What it sends is taken for a test result."""
    for program in ("gcloud", "skopeo"):
        if not shutil.which(program):
            raise MissingPart(f"{program} is not installed")
    (digest,) = re.findall(r"`(DIGEST=\$\(skopeo [^`]*)`", TEXT)
    (publish,) = [block for block in SHELL if block.startswith("gcloud pubsub topics publish")]
    registry = job.image.partition("/")[0]
    insecure = f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
    of_user = job.folder / ".config" / "containers"
    of_user.mkdir(parents=True)
    (of_user / "registries.conf").write_text(insecure, encoding="utf-8")
    job.variables = {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{job.shop.stack.pubsub.host}/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "REF": "refs/tags/1.0.0",
        "COMMIT": "a" * 40,
        "RUN_URL": "https://ci.example/run/7",
    }
    ended = job.shell(f"{digest}\n{publish}")
    assert ended.returncode == 0, ended.stderr
    assert job.shop.events.next().attributes["verdict"] == "PROMOTE"
    assert job.shop.digest(EXTENDED_TEST) == job.shop.digest(FAST_FEEDBACK)
