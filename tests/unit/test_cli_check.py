"""``promotion check``: what it says of promotion.yaml, of repositories, and of the signing key."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import urllib3
from werkzeug.wrappers import Response

from dev.distribution import Distribution
from dev.registry import EmbeddedRegistry
from dev.services import Service, docker_registry
from promotion import cli
from promotion.artifact_registry import ENDPOINT_VARIABLE
from promotion.inspection import READING, WRITING
from promotion.keys import PrivateKey
from tests.unit.artifact_registry_api import VERB, ArtifactRegistryApi, Resource, repository
from tests.unit.scripted import Answer, ScriptedServer

ROOT = Path(__file__).parent.parent.parent
DEV = "projects/acme-dev/locations/europe-west2/repositories/tenant"
PROD = "projects/acme-prod/locations/europe-west2/repositories/tenant"
DEV_ADDRESS = "europe-west2-docker.pkg.dev/acme-dev/tenant"
PROD_ADDRESS = "europe-west2-docker.pkg.dev/acme-prod/tenant"
PLACE = "--project acme-prod --location europe-west2"
GRANT = f"gcloud artifacts repositories add-iam-policy-binding tenant {PLACE}"

SHOP = f"""\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: {DEV_ADDRESS}/shop
        promotes_to: extended-test
        gate:
          suites: [functional]
          refs: [refs/heads/main, refs/tags/*]
      extended-test:
        registry: {DEV_ADDRESS}/shop
        promotes_to: prod
        gate: {{suites: [extended], order: any}}
      prod:
        registry: {PROD_ADDRESS}/shop
"""

Check = dict[str, str]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def api() -> Iterator[ArtifactRegistryApi]:
    """Artifact Registry, with both repositories of the shop as they should be."""
    with ArtifactRegistryApi() as api:
        api.repositories |= {DEV: repository(), PROD: repository()}
        yield api


def check(*arguments: str, **environment: str) -> int:
    """Run the command without anybody's credentials; its exit code."""
    home = {"HOME": "/nonexistent", "DOCKER_CONFIG": "/nonexistent"}
    return cli.main(["check", *arguments], {**home, **environment})


def write(text: str) -> None:
    """Write promotion.yaml."""
    Path("promotion.yaml").write_text(text, encoding="utf-8")


def stage_at(registry: str) -> str:
    """A promotion.yaml with one stage, ``shop/prod`` at a registry."""
    return f"pipelines: {{shop: {{stages: {{prod: {{registry: {registry}/shop}}}}}}}}\n"


@pytest.fixture
def online(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs the command with --online --json; what it prints, once its exit code fits that."""

    def run(**environment: str) -> dict[str, Any]:
        code = check("--online", "--json", **environment)
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == (0 if report["ok"] else 1)
        return report

    return run


def only(report: dict[str, Any], subject: str, what: str) -> Check:
    """The one check of that name."""
    (found,) = (
        each for each in report["checks"] if (each["subject"], each["what"]) == (subject, what)
    )
    return dict(found)


# The file


def test_a_right_file_is_shown_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage has its repository, where images go from there, and on which conditions."""
    write(SHOP)
    assert check() == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line.split() for line in printed.out.splitlines()]
    assert lines[0] == ["pipeline", "stage", "repository", "promotes", "to", "gate"]
    assert lines[1:6] == [
        [
            *("shop", "fast-feedback", f"{DEV_ADDRESS}/shop/fast-feedback", "extended-test"),
            *("functional", "succeeded"),
        ],
        ["ref", "refs/heads/main", "or", "refs/tags/*"],
        ["not", "behind", "the", "next", "stage's", "versions", "of", "the", "same", "minor"],
        [
            *("shop", "extended-test", f"{DEV_ADDRESS}/shop/extended-test", "prod"),
            *("extended", "succeeded"),
        ],
        ["also", "behind", "the", "next", "stage's", "versions"],
    ]
    assert lines[6] == ["shop", "prod", f"{PROD_ADDRESS}/shop/prod"]
    assert printed.out.endswith("\n\npromotion.yaml is right\n")


def test_each_problem_is_a_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has file, line, key and what is wrong; standard error says how many."""
    write(SHOP.replace("[functional]", "[functional]\n          sok: 4h").replace("shop\n", "\n"))
    assert check("--online") == 1
    printed = capsys.readouterr()
    place = "promotion.yaml:9: pipelines.shop.stages.fast-feedback.gate"
    assert printed.out == f"{place}.sok: unknown key; did you mean 'soak'?\n"
    assert printed.err == ("promotion: 1 problem in promotion.yaml; mend that and check again\n")


def test_what_this_version_cannot_decide_upon_is_a_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The function would not start with it; what the file means is shown all the same."""
    write(SHOP.replace("suites: [functional]", "suites: [functional]\n          soak: 4h"))
    assert check() == 1
    printed = capsys.readouterr()
    assert "stages.fast-feedback.gate.soak is not supported yet\n" in printed.out
    assert "4h in the stage" in printed.out
    assert "1 problem in promotion.yaml" in printed.err


def test_the_file_is_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument comes before PROMOTION_CONFIG, and that before promotion.yaml."""
    assert check() == 1
    assert "promotion.yaml cannot be read" in capsys.readouterr().out
    Path("other.yaml").write_text(SHOP, encoding="utf-8")
    assert check(PROMOTION_CONFIG="other.yaml") == 0
    assert "other.yaml is right" in capsys.readouterr().out
    assert check("absent.yaml", PROMOTION_CONFIG="other.yaml") == 1
    assert "absent.yaml cannot be read" in capsys.readouterr().out


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """It holds the stages of a right file, and the problems of a wrong one."""
    write(stage_at("registry.example"))
    assert check("--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": "promotion.yaml",
        "ok": True,
        "problems": [],
        "stages": [
            {
                "pipeline": "shop",
                "stage": "prod",
                "repository": "registry.example/shop/prod",
                "promotes_to": [],
                "gate": [],
            }
        ],
        "checks": [],
    }
    write("pipelines: {}\n")
    assert check("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["stages"] == report["checks"] == []
    (problem,) = report["problems"]
    assert problem.startswith("promotion.yaml:1: pipelines: ")


# Artifact Registry


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


def test_a_repository_is_asked_once(
    api: ArtifactRegistryApi, online: Callable[..., dict[str, Any]]
) -> None:
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


def test_repositories_are_asked_beside_each_other(
    api: ArtifactRegistryApi, online: Callable[..., dict[str, Any]]
) -> None:
    """No answer about one is waited for before the other is asked."""
    both = Barrier(2, timeout=30)
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
    online: Callable[..., dict[str, Any]],
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
    online: Callable[..., dict[str, Any]],
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
    registry: str, api: ArtifactRegistryApi, online: Callable[..., dict[str, Any]]
) -> None:
    """Without a project and a repository, or on a host that is not for images, nobody is asked."""
    write(stage_at(registry).replace("/shop}", "}"))
    report = online(**{ENDPOINT_VARIABLE: api.endpoint})
    found = only(report, f"{registry}/prod", "exists")
    assert found["state"] == "error"
    assert "write LOCATION-docker.pkg.dev/PROJECT/REPOSITORY" in found["message"]
    assert not api.asked


def test_no_answer_is_an_error(
    free_host: Callable[[], str], online: Callable[..., dict[str, Any]]
) -> None:
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


# Registries elsewhere


@pytest.fixture(params=["embedded", "docker"])
def elsewhere(request: pytest.FixtureRequest) -> str:
    """The host of a registry that is not Artifact Registry."""
    if request.param == "embedded":
        embedded: EmbeddedRegistry = request.getfixturevalue("near")
        return embedded.host
    service: Service = request.getfixturevalue("registry")
    return service.host


def test_reading_and_writing_are_tried(
    elsewhere: str, online: Callable[..., dict[str, Any]]
) -> None:
    """Both are fine where everybody may; whether tags can be overwritten cannot be asked."""
    write(stage_at(f"{elsewhere}/tried"))
    report = online()
    stage = f"{elsewhere}/tried/shop/prod"
    assert only(report, stage, "read")["state"] == "ok"
    assert only(report, stage, "write")["state"] == "ok"
    assert only(report, stage, "immutable tags") == {
        "subject": stage,
        "what": "immutable tags",
        "state": "warning",
        "message": "cannot be asked there",
        "remedy": f"see in the settings of {elsewhere} that tags cannot be overwritten",
    }


def test_nothing_remains_in_the_registry(
    near: EmbeddedRegistry, online: Callable[..., dict[str, Any]], directory: Path
) -> None:
    """The upload that was opened is cancelled, and no content was written."""
    write(stage_at(near.host))
    online()
    asked = [(each.method, each.status) for each in near.served]
    assert asked == [("GET", 404), ("POST", 202), ("DELETE", 204)]
    assert not [path for path in (directory / "near").rglob("*") if path.is_file()]


def test_nothing_remains_in_dockers_registry(
    online: Callable[..., dict[str, Any]], directory: Path
) -> None:
    """It lists no repository, and keeps nothing of the upload that anybody could go on with."""
    (directory / "docker").mkdir()
    with docker_registry(directory / "docker") as registry:
        before = contents(directory / "docker")
        write(stage_at(registry.host))
        assert online()["ok"]
        left = contents(directory / "docker") - before
        # Version 2 notes the hash of what it has received, nothing, once more after it has
        # forgotten the upload; its own cleaning of uploads takes that away.
        assert not [path for path in left if "hashstates" not in path.parts]
        with urllib3.PoolManager() as pool:
            listed = pool.request("GET", f"http://{registry.host}/v2/_catalog")
        assert listed.json() == {"repositories": []}


def contents(folder: Path) -> set[Path]:
    """All files in a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


class WithoutCancel(Distribution):
    """A registry that lets no upload be cancelled."""

    def cancel_upload(self, *_: object, **__: object) -> Response:
        """Refuse."""
        return Response(status=405)


def test_an_upload_that_cannot_be_cancelled_is_a_warning(
    directory: Path, online: Callable[..., dict[str, Any]]
) -> None:
    """The right to write is shown all the same, and what is left is named."""
    with EmbeddedRegistry(directory, distribution=WithoutCancel(directory)) as registry:
        write(stage_at(registry.host))
        found = only(online(), f"{registry.host}/shop/prod", "write")
    assert found["state"] == "warning"
    assert found["message"] == (
        f"this identity may; an empty upload is left in {registry.host}/shop/prod/promotion-check"
    )
    assert found["remedy"] == "nothing: registries forget uploads that do not go on"


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_refuses_is_an_error(
    status: int, online: Callable[..., dict[str, Any]]
) -> None:
    """For reading and writing each, with the registry's words, and how to be let in."""
    words = b'{"errors": [{"code": "DENIED", "message": "not you"}]}'
    with ScriptedServer(Answer(status, words)) as registry:
        write(stage_at(registry.host))
        report = online()
        for what in ("read", "write"):
            found = only(report, f"{registry.host}/shop/prod", what)
            assert found["state"] == "error"
            assert f"answered {status} DENIED: not you" in found["message"]
            assert found["remedy"] == (
                f"docker login {registry.host}, as an account that may read and write there"
            )


def test_who_may_only_read_is_told(online: Callable[..., dict[str, Any]]) -> None:
    """Reading is fine, writing is not; what is no registry at all cannot be written either."""
    for status in (403, 404):
        with ScriptedServer(Answer(200, b'{"tags": null}'), Answer(status)) as registry:
            write(stage_at(registry.host))
            report = online()
            stage = f"{registry.host}/shop/prod"
            assert only(report, stage, "read")["state"] == "ok"
            found = only(report, stage, "write")
            assert found["state"] == "error"
            assert f"Could not open an upload in {stage}/promotion-check" in found["message"]


def test_an_upload_without_a_location_is_an_error(online: Callable[..., dict[str, Any]]) -> None:
    """Nothing could be sent to it."""
    with ScriptedServer(Answer(200, b'{"tags": []}'), Answer(202)) as registry:
        write(stage_at(registry.host))
        found = only(online(), f"{registry.host}/shop/prod", "write")
    assert found["state"] == "error"
    assert "the answer names no location" in found["message"]


# Signing


def signing(trusted: PrivateKey | None) -> str:
    """The section that signs with key.pem and trusts a key; the same, if none is given."""
    path = Path("key.pem")
    key = PrivateKey.generate()
    path.write_bytes(key.to_pem())
    Path("trusted.pem").write_text((trusted or key).public.pem, encoding="utf-8")
    return "signing: {key: key.pem, trusted: [trusted.pem]}\n"


def test_a_key_that_signs_and_is_trusted_is_right(
    near: EmbeddedRegistry, online: Callable[..., dict[str, Any]]
) -> None:
    """Its signature verifies; the key is named by its id."""
    write(stage_at(near.host) + signing(None))
    found = only(online(), "signing", "sign and verify")
    key = PrivateKey.parse(Path("key.pem").read_bytes(), "key.pem")
    assert found["state"] == "ok"
    assert found["message"] == f"key {key.public.key_id[:12]}… signs and is trusted"
    assert found["remedy"] == ""


def test_a_key_that_is_not_trusted_is_an_error(
    near: EmbeddedRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it signs would be ignored; the remedy is its public key, ready to be copied."""
    write(stage_at(near.host) + signing(PrivateKey.generate()))
    assert check("--online") == 1
    printed = capsys.readouterr().out
    assert "the key signs, but signing.trusted does not hold it" in printed
    key = PrivateKey.parse(Path("key.pem").read_bytes(), "key.pem")
    indented = "".join(f"\n    {line}" for line in key.public.pem.splitlines())
    assert f"add to signing.trusted:{indented}\n" in printed


def test_a_key_that_is_not_there_is_an_error(
    near: EmbeddedRegistry, online: Callable[..., dict[str, Any]]
) -> None:
    """The message says which, and why."""
    write(stage_at(near.host) + "signing: {key: absent.pem}\n")
    found = only(online(), "signing", "sign and verify")
    assert found["state"] == "error"
    assert "absent.pem" in found["message"]


def test_an_installation_that_does_not_sign_is_warned(
    near: EmbeddedRegistry, online: Callable[..., dict[str, Any]]
) -> None:
    """It is no error: the function runs without."""
    write(stage_at(near.host))
    report = online()
    assert report["ok"]
    assert only(report, "signing", "sign and verify") == {
        "subject": "signing",
        "what": "sign and verify",
        "state": "warning",
        "message": "nothing is signed: who can write to a repository can write evidence",
        "remedy": "promotion keygen, or a key of Cloud KMS: name it as signing.kms",
    }


# The command line


def test_a_terminal_has_colours_unless_they_are_not_wanted(near: EmbeddedRegistry) -> None:
    """A warning is yellow there, and only there; NO_COLOR leaves the word alone."""
    write(stage_at(near.host))
    command = [sys.executable, "-m", "promotion", "check", "--online"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}

    def on_a_terminal(**more: str) -> bytes:
        master, slave = pty.openpty()
        subprocess.run(command, stdout=slave, check=True, env={**environment, **more})
        os.close(slave)
        printed = os.read(master, 100_000)
        os.close(master)
        return printed

    yellow = b"\x1b[33m"
    assert yellow + b"warning" in on_a_terminal()
    assert yellow not in on_a_terminal(NO_COLOR="1")
    assert b"warning" in on_a_terminal(NO_COLOR="1")
    piped = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout
    assert b"warning" in piped
    assert b"\x1b" not in piped


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """And says how to ask as the function."""
    with pytest.raises(SystemExit) as ended:
        check("--help")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "promotion check deploy/promotion.yaml --online" in printed
    assert "--impersonate-service-account" in printed


def test_what_is_not_asked_for_is_not_loaded() -> None:
    """Google's client library takes a third of a second, which the file alone does not need."""
    write(SHOP)
    program = (
        "import sys; from promotion import cli; cli.main(['check', '--json'], {});"
        " print([n for n in ('google.auth', 'grpc', 'requests', 'rich') if n in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.stdout.splitlines()[1:] == ["[]"], ended.stderr
