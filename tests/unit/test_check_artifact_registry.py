"""``promotion check --online``: what it asks of Artifact Registry, and the remedies it knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from promotion.artifact_registry import ENDPOINT_VARIABLE
from promotion.inspection import READING, WRITING
from tests.unit.artifact_registry_api import VERB, ArtifactRegistryApi, Resource, repository
from tests.unit.checking import (
    DEV,
    DEV_ADDRESS,
    PROD,
    PROD_ADDRESS,
    SHOP,
    Online,
    check,
    only,
    stage_at,
    write,
)

PLACE = "--project acme-prod --location europe-west2"
GRANT = f"gcloud artifacts repositories add-iam-policy-binding tenant {PLACE}"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def online(capsys: pytest.CaptureFixture[str]) -> Online:
    """Runs the command with --online --json."""
    return Online(capsys)


@pytest.fixture
def api() -> Iterator[ArtifactRegistryApi]:
    """Artifact Registry, with both repositories of the shop as they should be."""
    with ArtifactRegistryApi() as api:
        api.repositories |= {DEV: repository(), PROD: repository()}
        yield api


def test_a_table_says_what_was_checked(
    api: ArtifactRegistryApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every requirement of every repository has a row; the remedies of warnings stand below."""
    write(SHOP)
    assert check("--online", **{ENDPOINT_VARIABLE: api.endpoint}) == 0
    printed = capsys.readouterr()
    table = printed.out.split("\n\n")[1].splitlines()
    assert [line.split()[:3] for line in table] == [
        ["state", "subject", "check"],
        *(
            ["ok", address, what]
            for address in (DEV_ADDRESS, PROD_ADDRESS)
            for what in ("exists", "format", "mode", "immutable", "cleanup", "read", "write")
        ),
        ["warning", "signing", "sign"],
    ]
    assert printed.out.endswith(
        "\n\n 1  promotion keygen, or a key of Cloud KMS: name it as signing.kms\n\n"
        "promotion.yaml is right; 15 checks done; 1 warning\n"
    )
    assert printed.err == ""


def test_a_repository_is_asked_once(api: ArtifactRegistryApi, online: Online) -> None:
    """However many stages it holds; and nobody's token goes to an emulator."""
    write(SHOP)
    online(**{ENDPOINT_VARIABLE: f"{api.endpoint}/"})
    assert sorted((each.method, each.resource, each.verb) for each in api.asked) == [
        ("GET", DEV, ""),
        ("GET", PROD, ""),
        ("POST", DEV, VERB),
        ("POST", PROD, VERB),
    ]
    assert {each.authorization for each in api.asked} == {""}


def test_repositories_are_asked_beside_each_other(api: ArtifactRegistryApi, online: Online) -> None:
    """No answer about one is waited for before the other is asked."""
    both = Barrier(2, timeout=60)
    api.meanwhile = both.wait
    write(SHOP)
    assert online(**{ENDPOINT_VARIABLE: api.endpoint})["ok"]


def policy(action: str, **more: Any) -> dict[str, Any]:
    """A cleanup policy; with a condition, if its parts are given."""
    condition = {"condition": more} if more else {}
    return {"id": "p", "action": action, **condition}


WRONG = [
    (
        repository(format="MAVEN"),
        ("format", "error", "MAVEN, which holds no images"),
        f"gcloud artifacts repositories create NAME {PLACE} --repository-format docker"
        " --immutable-tags; that cannot be changed, so let promotion.yaml name a new one",
    ),
    (
        repository(mode="VIRTUAL_REPOSITORY"),
        ("mode", "error", "VIRTUAL_REPOSITORY, which cannot be written"),
        f"gcloud artifacts repositories create NAME {PLACE} --repository-format docker"
        " --immutable-tags; that cannot be changed, so let promotion.yaml name a new one",
    ),
    (
        repository(mode="REMOTE_REPOSITORY"),
        ("mode", "error", "REMOTE_REPOSITORY, which cannot be written"),
        f"gcloud artifacts repositories create NAME {PLACE} --repository-format docker"
        " --immutable-tags; that cannot be changed, so let promotion.yaml name a new one",
    ),
    (
        repository(dockerConfig={}),
        ("immutable tags", "error", "any writer can let a tag name something else"),
        f"gcloud artifacts repositories update tenant {PLACE} --immutable-tags",
    ),
    (
        repository(cleanupPolicies={"old": policy("DELETE", tagState="UNTAGGED")}),
        ("cleanup policies", "warning", "old may delete what has no tag, such as evidence"),
        f"gcloud artifacts repositories delete-cleanup-policies tenant {PLACE} --policynames old",
    ),
    (
        Resource(repository().settings, granted=READING),
        ("write", "error", f"this identity lacks {WRITING[0]}, {WRITING[1]}"),
        f"{GRANT} --member serviceAccount:EMAIL --role roles/artifactregistry.writer",
    ),
    (
        Resource(repository().settings, granted=(*READING[1:], *WRITING)),
        ("read", "error", f"this identity lacks {READING[0]}"),
        f"{GRANT} --member serviceAccount:EMAIL --role roles/artifactregistry.reader",
    ),
    (
        Resource(repository().settings, granted=()),
        ("read", "error", f"this identity lacks {', '.join(READING)}"),
        f"{GRANT} --member serviceAccount:EMAIL --role roles/artifactregistry.writer",
    ),
    (
        None,
        ("exists", "error", f"Could not look up {PROD}: 404 Requested entity was not found."),
        f"gcloud artifacts repositories create tenant {PLACE} --repository-format docker"
        " --immutable-tags",
    ),
    (
        Resource(refusals={"": (403, "Permission denied (or it may not exist).")}),
        (
            "exists",
            "error",
            f"Could not look up {PROD}: 403 Permission denied (or it may not exist).",
        ),
        f"{GRANT} --member serviceAccount:EMAIL --role roles/artifactregistry.writer",
    ),
    (
        Resource(refusals={"": (503, "The service is unavailable.")}),
        (
            "exists",
            "error",
            f"Could not look up {PROD}: 503 The service is unavailable.; try it again",
        ),
        "",
    ),
    (
        Resource(repository().settings, refusals={VERB: (403, "No.")}),
        ("rights", "error", f"Could not ask for the rights on {PROD}: 403 No."),
        f"{GRANT} --member serviceAccount:EMAIL --role roles/artifactregistry.writer",
    ),
]


@pytest.mark.parametrize(("resource", "expected", "remedy"), WRONG)
def test_what_is_wrong_has_a_remedy(
    resource: Resource | None,
    expected: tuple[str, str, str],
    remedy: str,
    api: ArtifactRegistryApi,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The table shows what was found, and below it stands how to mend it."""
    what, state, message = expected
    del api.repositories[PROD]
    if resource is not None:
        api.repositories[PROD] = resource
    write(SHOP)
    environment = {ENDPOINT_VARIABLE: api.endpoint}
    assert check("--online", "--json", **environment) == (1 if state == "error" else 0)
    found = only(json.loads(capsys.readouterr().out), PROD_ADDRESS, what)
    assert found == {
        "subject": PROD_ADDRESS,
        "what": what,
        "state": state,
        "message": message,
        "remedy": remedy,
    }
    check("--online", **environment)
    printed = capsys.readouterr().out
    (row,) = (line for line in printed.splitlines() if f"{PROD_ADDRESS}  {what}  " in line)
    assert row.startswith(f"{state} ")
    assert row.endswith(f"  {message}")
    assert not remedy or f"  {remedy}\n" in printed


def test_where_something_is_wrong_only_that_is_shown(
    api: ArtifactRegistryApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is as it should be has no row; the same remedy stands once, with its number."""
    api.repositories[PROD].granted = ()
    write(SHOP)
    assert check("--online", **{ENDPOINT_VARIABLE: api.endpoint}) == 1
    printed = capsys.readouterr()
    table = printed.out.split("\n\n")[1].splitlines()
    assert [line.split()[:4] for line in table[1:]] == [
        ["error", PROD_ADDRESS, "read", "1"],
        ["error", PROD_ADDRESS, "write", "1"],
        ["warning", "signing", "sign", "and"],
    ]
    assert printed.out.count(GRANT) == 1
    assert printed.err == "promotion: 2 of 15 checks failed; mend that and check again\n"


@pytest.mark.parametrize(
    ("policies", "more"),
    [
        ({"tagged": policy("DELETE", tagState="TAGGED", olderThan="3600s")}, {}),
        ({"by-prefix": policy("DELETE", tagPrefixes=["pr-"])}, {}),
        ({"any": policy("DELETE", tagState="ANY")}, {"cleanupPolicyDryRun": True}),
        ({"any": policy("DELETE", tagState="ANY"), "keep": policy("KEEP", tagState="ANY")}, {}),
        ({"all": policy("DELETE"), "keep": policy("KEEP", tagState="UNTAGGED")}, {}),
        ({"keep": policy("KEEP", tagState="TAGGED")}, {}),
    ],
)
def test_cleanup_that_spares_what_has_no_tag_is_right(
    policies: dict[str, Any],
    more: dict[str, Any],
    api: ArtifactRegistryApi,
    online: Online,
) -> None:
    """It deletes tagged images alone, is rehearsed, or a policy keeps all that has no tag."""
    api.repositories[PROD] = repository(cleanupPolicies=policies, **more)
    write(SHOP)
    report = online(**{ENDPOINT_VARIABLE: api.endpoint})
    assert only(report, PROD_ADDRESS, "cleanup policies")["state"] == "ok"


@pytest.mark.parametrize(
    "keeper",
    [
        policy("KEEP", tagState="TAGGED"),
        policy("KEEP", tagState="UNTAGGED", newerThan="3600s"),
        policy("KEEP", tagState="ANY", olderThan="3600s"),
        policy("KEEP", packageNamePrefixes=["shop"]),
        policy("KEEP", versionNamePrefixes=["sha256:"]),
        policy("KEEP") | {"mostRecentVersions": {"keepCount": 10}},
    ],
)
def test_cleanup_that_spares_only_some_is_a_warning(
    keeper: dict[str, Any],
    api: ArtifactRegistryApi,
    online: Online,
) -> None:
    """Whatever keeps a part: evidence outside that part is deleted."""
    deleting = {
        "all": policy("DELETE", olderThan="3600s"),
        "some": policy("DELETE", tagState="ANY"),
    }
    api.repositories[PROD] = repository(cleanupPolicies={**deleting, "keeper": keeper})
    write(SHOP)
    found = only(online(**{ENDPOINT_VARIABLE: api.endpoint}), PROD_ADDRESS, "cleanup policies")
    assert found["state"] == "warning"
    assert found["message"].startswith("all, some may delete")
    assert found["remedy"].endswith(" --policynames all,some")


@pytest.mark.parametrize("registry", ["europe-west2-docker.pkg.dev", "europe-python.pkg.dev/a/b"])
def test_a_place_outside_every_repository_is_an_error(
    registry: str, api: ArtifactRegistryApi, online: Online
) -> None:
    """Without a project and a repository, or on a host that is not for images, nobody is asked."""
    write(stage_at(registry).replace("/shop}", "}"))
    report = online(**{ENDPOINT_VARIABLE: api.endpoint})
    found = only(report, f"{registry}/prod", "exists")
    assert found["state"] == "error"
    assert "write LOCATION-docker.pkg.dev/PROJECT/REPOSITORY" in found["message"]
    assert not api.asked


def test_no_answer_is_an_error(free_host: Callable[[], str], online: Online) -> None:
    """It names who gave none, and what was asked."""
    endpoint = f"http://{free_host()}"
    write(stage_at(PROD_ADDRESS))
    found = only(online(**{ENDPOINT_VARIABLE: endpoint}), PROD_ADDRESS, "exists")
    assert found["message"] == (
        f"Could not look up {PROD}: {endpoint} gave no answer (ConnectionError)"
    )


@pytest.mark.parametrize("endpoint", ["http://registry.example", "artifactregistry.googleapis.com"])
def test_a_token_goes_nowhere_without_tls(
    endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An endpoint that would see it is refused, before anything is asked."""
    write(SHOP)
    assert check("--online", **{ENDPOINT_VARIABLE: endpoint}) == 1
    error = capsys.readouterr().err
    assert error == f"promotion: {ENDPOINT_VARIABLE} is {endpoint!r}; write https://HOST/\n"
