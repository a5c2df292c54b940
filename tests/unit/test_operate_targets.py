"""Which commands the Makefile's targets run, and what they say where something is missing."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.operating import GCLOUD, ROOT, TERRAFORM, Desk, Ended, Says

FOLDER = f"terraform -chdir={ROOT}/terraform/deployment"
INIT = (
    f"{FOLDER} init -input=false -reconfigure"
    " -backend-config=bucket=acme-ci-promotion-state -backend-config=prefix=promotion"
)
BUCKET = "gs://acme-ci-promotion-state"
PROTECTED = "--uniform-bucket-level-access --public-access-prevention"
NOT_FOUND = Says(
    "storage buckets describe",
    status=1,
    complaint=f"ERROR: (gcloud.storage.buckets.describe) {BUCKET} not found: 404.",
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A machine with gcloud and terraform, whose user may do everything."""
    desk = Desk(tmp_path)
    desk.install("gcloud", *GCLOUD)
    desk.install("terraform", *TERRAFORM)
    return desk


def make(desk: Desk, target: str, **variables: str) -> Ended:
    """Run a target that needs project, region and configuration."""
    given = {"PROJECT": "acme-ci", "REGION": "europe-west2", "CONFIG": str(desk.config)}
    return desk.make(target, **{**given, **variables})


@pytest.mark.parametrize(
    ("target", "verb"), [("plan", "plan"), ("deploy", "apply"), ("destroy", "destroy")]
)
def test_terraform_with_its_state_in_the_bucket(desk: Desk, target: str, verb: str) -> None:
    """plan, deploy and destroy run Terraform with the GCS backend and the operator's choices."""
    ended = make(desk, target)
    chosen = f"-var=project_id=acme-ci -var=region=europe-west2 -var=configuration={desk.config}"
    assert (ended.status, ended.calls) == (0, [INIT, f"{FOLDER} {verb} {chosen}"])
    assert f"+ {INIT}" in ended.complaint


def test_what_the_operator_brings(desk: Desk) -> None:
    """Variables, another state, another Terraform and further arguments are passed on."""
    mine = desk.config.parent / "mine.tfvars"
    mine.touch()
    desk.install("tofu", Says("-x version -json", TERRAFORM[0].output))
    ended = make(
        desk,
        "deploy",
        VARS=str(mine),
        STATE_BUCKET="elsewhere",
        STATE_PREFIX="second",
        TERRAFORM="tofu -x",
        ARGS="-auto-approve -lock-timeout=60s",
    )
    init, apply = ended.calls
    assert init.startswith("tofu -x -chdir=")
    assert init.endswith("-backend-config=bucket=elsewhere -backend-config=prefix=second")
    assert f" apply -var-file={mine} -var=project_id=acme-ci " in apply
    assert apply.endswith(" -auto-approve -lock-timeout=60s")


def test_terraform_fails(desk: Desk) -> None:
    """A failure of Terraform's is the target's."""
    desk.install(
        "terraform", *TERRAFORM, Says(f"-chdir={ROOT}/terraform/deployment plan", status=1)
    )
    ended = make(desk, "plan")
    assert ended.status != 0
    assert "make plan: Terraform ended with status 1" in ended.complaint


def test_bootstrap_makes_the_bucket(desk: Desk) -> None:
    """The bucket is made with versions, uniform access and no public access."""
    desk.install("gcloud", NOT_FOUND, *GCLOUD)
    ended = make(desk, "bootstrap")
    assert ended.status == 0
    services, create, update = ended.calls
    assert services.startswith("gcloud services enable ")
    assert services.endswith("storage.googleapis.com --project=acme-ci")
    assert create == (
        f"gcloud storage buckets create {BUCKET} --project=acme-ci --location=europe-west2"
        f" {PROTECTED}"
    )
    assert update == f"gcloud storage buckets update {BUCKET} --versioning {PROTECTED}"


def test_bootstrap_again(desk: Desk) -> None:
    """A bucket that is there is only made sure of."""
    ended = make(desk, "bootstrap")
    assert ended.status == 0
    assert [call.split()[:4] for call in ended.calls] == [
        ["gcloud", "services", "enable", "cloudresourcemanager.googleapis.com"],
        ["gcloud", "storage", "buckets", "update"],
    ]


@pytest.mark.parametrize("target", ["bootstrap", "deploy"])
def test_somebody_elses_bucket(desk: Desk, target: str) -> None:
    """A bucket of that name in another project is not used: its owner could write the state."""
    theirs = Says("storage buckets describe", json.dumps({"projectNumber": "666"}))
    desk.install("gcloud", theirs, *GCLOUD)
    ended = make(desk, target)
    assert ended.status != 0
    assert f"{BUCKET} belongs to another project, number 666" in ended.complaint
    assert not [call for call in ended.calls if "services enable" not in call]


def test_nothing_is_installed(tmp_path: Path) -> None:
    """Everything that is missing is said at once, with where to get it."""
    ended = make(Desk(tmp_path), "deploy", CONFIG="nowhere.yaml", VARS="nothing.tfvars")
    assert ended.status != 0
    for said in (
        "make deploy: This is missing:",
        "- CONFIG names nowhere.yaml, which is no file: write one",
        "- VARS names nothing.tfvars, which is no file",
        "- gcloud is not installed, or not on PATH: https://cloud.google.com/sdk/docs/install",
        "- Terraform is not installed, or not on PATH: https://developer.hashicorp.com/terraform",
    ):
        assert said in ended.complaint


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    """The file is named, with what is wrong in it."""
    file = tmp_path / "wrong.yaml"
    file.write_text("pipelines: {}\nstage: x\n")
    ended = make(Desk(tmp_path), "plan", CONFIG=str(file))
    assert ended.status != 0
    assert f"- {file} is not right, so the function would not start: {file}:1: " in ended.complaint


@pytest.mark.parametrize("target", ["bootstrap", "logs", "replay-dead-letters", "smoke"])
def test_each_target_says_what_it_misses(tmp_path: Path, target: str) -> None:
    """Without gcloud no target begins, and each says so."""
    ended = make(Desk(tmp_path), target)
    assert ended.status != 0
    assert f"make {target}: This is missing:\n" in ended.complaint
    assert "- gcloud is not installed" in ended.complaint
    assert "Traceback" not in ended.complaint


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Says("auth list"), "gcloud does not know who you are: gcloud auth login"),
        (
            Says("auth application-default", status=1, complaint="ERROR: (gcloud.auth) not found"),
            "no usable Application Default Credentials, by which Terraform and the Python libraries"
            " are known (not found): gcloud auth application-default login",
        ),
        (
            Says("projects describe", status=1, complaint="ERROR: (gcloud.projects) denied"),
            "the project acme-ci does not exist, or you may not see it (denied)",
        ),
        (NOT_FOUND, f"no bucket {BUCKET} for Terraform's state: make bootstrap PROJECT=acme-ci"),
        (
            Says("storage buckets describe", status=1, complaint="denied: 403"),
            f"{BUCKET} cannot be looked at: denied: 403",
        ),
    ],
    ids=["no login", "no default credentials", "no project", "no bucket", "forbidden bucket"],
)
def test_something_is_missing(desk: Desk, answer: Says, said: str) -> None:
    """What is missing is named, with the command that mends it, and Terraform is not run."""
    desk.install("gcloud", answer, *GCLOUD)
    ended = make(desk, "deploy")
    assert (ended.status, ended.calls) == (2, [])
    assert said in ended.complaint


def test_an_old_terraform(desk: Desk) -> None:
    """A Terraform before 1.7 is refused, by its version."""
    desk.install("terraform", Says("version -json", json.dumps({"terraform_version": "1.6.6"})))
    ended = make(desk, "plan")
    assert "- Terraform is 1.6.6, and at least 1.7 is needed" in ended.complaint
    assert ended.calls == []


def test_what_cannot_be_a_project(desk: Desk) -> None:
    """A project's number and a zone are told from what is meant."""
    ended = make(desk, "plan", PROJECT="123456", REGION="europe-west2-a")
    assert "PROJECT is '123456', which cannot be one; write PROJECT=acme-ci" in ended.complaint
    assert "REGION is 'europe-west2-a', which cannot be one" in ended.complaint


@pytest.mark.parametrize(
    ("target", "usage"),
    [
        ("bootstrap", "PROJECT=… REGION=…"),
        ("plan", "PROJECT=… REGION=…"),
        ("deploy", "PROJECT=… REGION=…"),
        ("destroy", "PROJECT=… REGION=…"),
        ("logs", "PROJECT=…"),
        ("replay-dead-letters", "PROJECT=…"),
        ("smoke", "PROJECT=…"),
    ],
)
def test_usage(tmp_path: Path, target: str, usage: str) -> None:
    """Without a project each target says how it is called."""
    ended = Desk(tmp_path).make(target)
    assert ended.status != 0
    assert f"usage: make {target} {usage}." in ended.complaint


def test_what_would_be_run(tmp_path: Path) -> None:
    """`make -n` shows the command, with what was given and nothing for what was not."""
    given = {"PROJECT": "acme-ci", "DRY_RUN": "1", "LIMIT": "5"}
    ended = Desk(tmp_path).make("-n", "replay-dead-letters", **given)
    command = shlex.split(ended.output.replace("\\\n", ""))
    assert command[1:] == [
        "-m",
        "operate",
        "replay-dead-letters",
        "--project",
        "acme-ci",
        "--terraform",
        "terraform",
        "--limit=5",
        "--dry-run",
    ]


@pytest.mark.parametrize("target", ["replay-dead-letters", "smoke"])
def test_nothing_is_deployed(desk: Desk, target: str) -> None:
    """Where the state has no outputs, there is no deployment to work with."""
    desk.install("terraform", *TERRAFORM, Says(f"-chdir={ROOT}/terraform/deployment output", "{}"))
    ended = make(desk, target)
    assert ended.calls == [INIT, f"{FOLDER} output -json"]
    assert (
        "do not tell of a deployment (there is no results_topics among them): deploy it first"
        in ended.complaint
    )


ENTRIES = [
    {
        "insertId": "a",
        "timestamp": "2026-01-31T12:00:00.123456789Z",
        "severity": "WARNING",
        "jsonPayload": {
            "message": "to be delivered again: no such image \x1b[31m",
            "image": "registry.example/shop:1.4.2",
            "logger": "promotion",
        },
    },
    {
        "insertId": "b",
        "timestamp": "2026-01-31T12:00:01Z",
        "severity": "ERROR",
        "jsonPayload": {"message": "it broke", "stack_trace": "Traceback:\n  ValueError\n"},
    },
    {"insertId": "c", "timestamp": "2026-01-31T12:00:02Z", "textPayload": "Booting worker"},
    {
        "insertId": "d",
        "timestamp": "2026-01-31T12:00:03Z",
        "severity": "INFO",
        "httpRequest": {
            "requestMethod": "POST",
            "requestUrl": "https://promote.example/",
            "status": 503,
            "latency": "0.2s",
        },
    },
]


def test_logs_for_people(desk: Desk) -> None:
    """Entries are lines with time, severity, message and fields, without a terminal's commands."""
    desk.install("gcloud", *GCLOUD, Says("logging read", json.dumps(ENTRIES)))
    ended = desk.make("logs", PROJECT="acme-ci", SINCE="2h", FILTER='jsonPayload.image="it\'s"')
    assert ended.status == 0
    assert ended.output.splitlines() == [
        "2026-01-31 12:00:00Z WARNING  to be delivered again: no such image \ufffd[31m"
        "  [image=registry.example/shop:1.4.2]",
        "2026-01-31 12:00:01Z ERROR    it broke",
        "Traceback:",
        "  ValueError",
        "2026-01-31 12:00:02Z DEFAULT  Booting worker",
        "2026-01-31 12:00:03Z INFO     POST https://promote.example/ 503 0.2s",
    ]
    (call,) = ended.calls
    beginning, _, rest = call.partition(' AND (timestamp>="')
    assert beginning == (
        'gcloud logging read (resource.type="cloud_run_revision" AND resource.labels.service_name'
        '=~"(^|-)(promote|control)$") AND (jsonPayload.image="it\'s")'
    )
    moment, _, arguments = rest.partition('") ')
    assert 7190 < (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds() < 7260
    assert arguments == "--project=acme-ci --order=asc --limit=5000 --format=json"


def test_logs_of_no_time(desk: Desk) -> None:
    """A duration that is none is refused."""
    ended = desk.make("logs", PROJECT="acme-ci", SINCE="yesterday")
    assert "make logs: SINCE is 'yesterday'" in ended.complaint
    assert ended.calls == []
