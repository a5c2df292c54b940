"""The Terraform module: every right that it gives, and what it says to what it refuses.

What else it makes is tested in Terraform's own language, in terraform/tests.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from promotion import configuration, gates
from tests.integration.terraform import MODULE, Plan, Resource, plans

CI = "serviceAccount:{}@acme-ci.iam.gserviceaccount.com"
PROMOTE, CONTROL = CI.format("promotion-promote"), CI.format("promotion-control")
PUSH, BUILD = CI.format("promotion-push"), CI.format("promotion-build")
PUBSUB = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
MONITORING = (
    "serviceAccount:service-123456789012@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
)
KEY = "projects/acme-ci/locations/europe-west2/keyRings/promotion/cryptoKeys/evidence"
WRITER, PUBLISHER = "roles/artifactregistry.writer", "roles/pubsub.publisher"
REGISTRIES = {
    "acme-dev europe-west2 tenant",
    "acme-test europe-west2 tenant",
    "acme-prod europe-west1 tenant",
}

Right = tuple[str, str, str]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    """What comes of a deployment that is right, and of all that are not."""
    folder = tmp_path_factory.mktemp("configurations")
    (folder / "not-yaml.yaml").write_text("pipelines: [}")
    for name, (content, _) in CONFIGURATIONS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    files = {file.stem: file for file in folder.iterdir()}
    return plans(
        {
            "right": RIGHT,
            "bad-values": {**RIGHT, **BAD},
            **{name: {**SMALL, "configuration": f'"{file}"'} for name, file in files.items()},
            **{f"size-{k}": {**SMALL, "function": f"{{ {v} }}"} for k, v in SIZES.items()},
            **{f"stranger-{k}": {**SMALL, k: '{ bar = ["user:a@b.c"] }'} for k in STRANGERS},
        }
    )


@pytest.fixture(scope="module")
def rights(planned: dict[str, Plan]) -> set[Right]:
    """Every right that is given in two pipelines over three projects: on what, which, to whom."""
    assert planned["right"].refusal == ""
    giving = [each for each in planned["right"].resources if "_iam_" in each.kind]
    members = [each for each in giving if each.kind.endswith("_iam_member")]
    others = {each.kind for each in giving} - {each.kind for each in members}
    assert others == {"google_project_iam_audit_config"}
    return {(_place(each), each.values["role"], each.values["member"]) for each in members}


def _place(right: Resource) -> str:
    """What a right is about."""
    values = right.values
    if right.kind == "google_artifact_registry_repository_iam_member":
        return f"{values['project']} {values['location']} {values['repository']}"
    if right.kind == "google_service_account_iam_member":
        return "push account"
    keys = ("crypto_key_id", "topic", "subscription", "table_id", "bucket", "name", "project")
    return f"{right.kind.split('_')[1]} {next(values[key] for key in keys if values.get(key))}"


def test_the_functions_have_these_rights_and_no_others(rights: set[Right]) -> None:
    """Writers in every stage, one key, the topics that each publishes to; nothing on a project."""
    evidence = {(place, WRITER) for place in REGISTRIES} | {
        (f"kms {KEY}", "roles/cloudkms.signerVerifier"),
        ("pubsub promotion-signals", PUBLISHER),
    }
    promoting = {
        ("pubsub promotion-events", PUBLISHER),
        ("pubsub promotion-dead-letter", PUBLISHER),
    }
    assert _of(PROMOTE, rights) == evidence | promoting
    assert _of(CONTROL, rights) == evidence


def test_pushes_and_builds_have_these_rights_and_no_others(rights: set[Right]) -> None:
    """Pushes may call one function; builds may read the source, keep images and write logs."""
    assert _of(PUSH, rights) == {("cloud promotion-promote", "roles/run.invoker")}
    assert _of(BUILD, rights) == {
        ("storage acme-ci-promotion-source", "roles/storage.objectViewer"),
        ("acme-ci europe-west2 promotion-functions", WRITER),
        ("project acme-ci", "roles/logging.logWriter"),
    }


def test_google_s_own_agents_have_these_rights_and_no_others(rights: set[Right]) -> None:
    """Pub/Sub puts messages aside and fills the table; Monitoring publishes incidents."""
    received = ("billing-results", "promotion-signals", "security-scans", "shop-results")
    assert _of(PUBSUB, rights) == {
        ("pubsub promotion-dead-letter", PUBLISHER),
        ("push account", "roles/iam.serviceAccountTokenCreator"),
        ("bigquery events", "roles/bigquery.dataEditor"),
        *((f"pubsub {name}", "roles/pubsub.subscriber") for name in received),
    }
    assert _of(MONITORING, rights) == {("pubsub promotion-signals", PUBLISHER)}


def test_each_pipeline_and_suite_has_its_own_publishers(rights: set[Right]) -> None:
    """Whoever reports for the shop cannot report for billing, nor what the scanner says."""
    given = {PROMOTE, CONTROL, PUBSUB, MONITORING}
    publishers = {
        (place.removeprefix("pubsub "), member)
        for place, role, member in rights
        if role == PUBLISHER and member not in given
    }
    assert publishers == {
        ("shop-results", "serviceAccount:ci@acme-shop.iam.gserviceaccount.com"),
        ("shop-results", "group:shop@example.com"),
        ("billing-results", "serviceAccount:ci@acme-billing.iam.gserviceaccount.com"),
        ("security-scans", "serviceAccount:scanner@acme-security.iam.gserviceaccount.com"),
    }


def test_nobody_else_has_a_right_and_never_everybody(rights: set[Right]) -> None:
    """Beside accounts and publishers there are those who decide, and those who subscribe."""
    known = {PROMOTE, CONTROL, PUSH, BUILD, PUBSUB, MONITORING}
    others = {right for right in rights if right[2] not in known and right[1] != PUBLISHER}
    assert others == {
        ("cloud promotion-control", "roles/run.invoker", "group:releasers@example.com"),
        (
            "pubsub promotion-events",
            "roles/pubsub.subscriber",
            "serviceAccount:deployer@acme-prod.iam.gserviceaccount.com",
        ),
    }
    assert not [member for *_, member in rights if member in ("allUsers", "allAuthenticatedUsers")]


def _of(member: str, rights: set[Right]) -> set[tuple[str, str]]:
    return {(place, role) for place, role, whose in rights if whose == member}


@pytest.mark.parametrize("example", ["minimal", "three-projects"])
def test_the_function_takes_the_examples_promotion_yaml(example: str) -> None:
    """What Terraform has read is right, and asks for nothing that the function cannot decide."""
    file = MODULE / "examples" / example / "promotion.yaml"
    gates.check_supported(configuration.load(file))


# --- What is refused -----------------------------------------------------------------------------

SMALL = {
    "project_id": '"acme-ci"',
    "region": '"europe-west2"',
    "configuration": '"examples/minimal/promotion.yaml"',
    "source_directory": '"tests/source"',
}
RIGHT = {
    **SMALL,
    "configuration": '"examples/three-projects/promotion.yaml"',
    "result_publishers": """{
    shop    = ["serviceAccount:ci@acme-shop.iam.gserviceaccount.com", "group:shop@example.com"]
    billing = ["serviceAccount:ci@acme-billing.iam.gserviceaccount.com"]
  }""",
    "suite_publishers": """{
    security-scans = ["serviceAccount:scanner@acme-security.iam.gserviceaccount.com"]
  }""",
    "event_subscribers": '["serviceAccount:deployer@acme-prod.iam.gserviceaccount.com"]',
    "control_invokers": '["group:releasers@example.com"]',
    "audited_registry_projects": '["acme-prod"]',
    "bigquery": '{ dataset_id = "promotion" }',
}
BAD = {
    "alert_thresholds": "{ oldest_message_minutes = 5, promotion_seconds = 900 }",
    "audited_registry_projects": '["Prod"]',
    "bigquery": '{ dataset_id = "a-b", days = 0 }',
    "configuration": '"none.yaml"',
    "control_audiences": '["https://a https://b"]',
    "control_invokers": '["allUsers"]',
    "encryption_key": '"k"',
    "evaluation_schedule": '"hourly"',
    "event_subscribers": '["deployer@acme.example"]',
    "function": """{
    attempt_seconds = 600
    concurrency     = 100
    cpu             = "0.5"
    log_level       = "loud"
    memory          = "512M"
    min_instances   = 20
    timeout_seconds = 600
  }""",
    "labels": '{ Team = "shop" }',
    "name": '"a-name-that-is-far-too-long"',
    "notification_channels": '["ops@example.com"]',
    "project_id": '"12"',
    "region": '"europe-west2-a"',
    "repositories": '["a b"]',
    "result_publishers": '{ shop = ["allUsers"] }',
    "signal_publishers": '["allAuthenticatedUsers"]',
    "source_directory": '"tests"',
    "suite_publishers": '{ scans = ["domain:example.com"] }',
    "vpc": '{ network = "n", subnetwork = "s", egress = "ALL" }',
}
MESSAGES = [
    "alert_thresholds.oldest_message_minutes must be from 10 to 10080",
    "alert_thresholds.promotion_seconds must be more than 0 and at most 600: no delivery lasts",
    "audited_registry_projects must be ids of projects, such as acme-prod",
    "bigquery.dataset_id must consist of letters, digits and underscores",
    "bigquery.days must be at least 1; leave it out to keep events for good",
    "There is no file none.yaml: give the path of a promotion.yaml",
    "control_audiences must be URLs or client ids, without spaces",
    "control_invokers must be members such as group:releasers@example.com; allUsers,",
    "encryption_key must be of the form projects/P/locations/L/keyRings/R/cryptoKeys/K, without",
    "evaluation_schedule must be five fields, as cron has it",
    "event_subscribers must be members such as serviceAccount:deployer@",
    "function.attempt_seconds must be at least 30 and below function.timeout_seconds",
    "function.concurrency must be a whole number from 1 to 80: each request has a thread",
    "function.cpu must be 1, 2, 4, 6 or 8: with less than one, Cloud Run takes one request at",
    "function.log_level must be DEBUG, INFO, WARNING or ERROR",
    "function.memory must be a number with Mi or Gi, such as 512Mi",
    "function.min_instances must be at least 0, and max_instances at least 1 and no less",
    "function.timeout_seconds must be from 60 to 599: below the subscription's ack deadline",
    "labels must have lower-case letters, digits, underscores and hyphens only",
    "name must have 3 to 22 lower-case letters, digits and hyphens",
    "notification_channels must be of the form projects/P/notificationChannels/N",
    "project_id must be a project's id, such as acme-ci: not its number, and not its name",
    "region must be a region of Google Cloud, such as europe-west2: not a zone",
    "repositories must be ids, such as google_artifact_registry_repository.shop.id",
    "result_publishers must be members such as serviceAccount:ci@",
    "signal_publishers must be members such as serviceAccount:service-NUMBER@",
    "source_directory must be the folder that main.py is in",
    "suite_publishers must be members such as serviceAccount:scanner@",
    "vpc.egress must be ALL_TRAFFIC or PRIVATE_RANGES_ONLY",
]

SHOP: dict[str, Any] = yaml.safe_load((MODULE / "examples/minimal/promotion.yaml").read_text())
STAGES = SHOP["pipelines"]["shop"]["stages"]
RESULTS = "projects/acme-ci/subscriptions/shop-results"
ELSEWHERE = "projects/acme-dev/subscriptions/shop-results"
VIA = {"suites": [{"suite": "scan", "via": ELSEWHERE}]}


def _shop(**changes: object) -> dict[str, Any]:
    return {**SHOP, "pipelines": {"shop": {**SHOP["pipelines"]["shop"], **changes}}}


CONFIGURATIONS = {
    "no-pipelines": ({**SHOP, "pipelines": {}}, "names no pipelines"),
    "results-elsewhere": (_shop(results=ELSEWHERE), "must lie in the deployment's project"),
    "no-results": ({**SHOP, "pipelines": {"shop": {"stages": STAGES}}}, "need `results: projects/"),
    "shared-results": (
        {**SHOP, "pipelines": dict.fromkeys(("shop", "bar"), SHOP["pipelines"]["shop"])},
        "whoever reports for one reports for the others too",
    ),
    "via-elsewhere": (
        _shop(stages={**STAGES, "fast-feedback": {**STAGES["fast-feedback"], "gate": VIA}}),
        "`via: projects/acme-dev/subscriptions/shop-results` is not of the form",
    ),
    "no-signals": ({**SHOP, "signals": ""}, "needs `signals: projects/acme-ci/subscriptions/NAME`"),
    "signals-elsewhere": ({**SHOP, "signals": ELSEWHERE}, "so it must lie in the deployment's"),
    "signals-are-results": ({**SHOP, "signals": RESULTS}, "both for signals and for results"),
    "own-name": (
        _shop(results="projects/acme-ci/subscriptions/promotion-events"),
        "are this module's own",
    ),
    "another-registry": (
        _shop(stages={**STAGES, "prod": {"registry": "registry.example/shop"}}),
        "the stages shop/prod are not in Artifact Registry",
    ),
    "unsigned": ({**SHOP, "signing": {}}, "signs with Cloud KMS, and with no key file"),
    "key-file": ({**SHOP, "signing": {"key": "k.pem"}}, "signs with Cloud KMS, and with no key"),
    "key-elsewhere": (
        {**SHOP, "signing": {"kms": SHOP["signing"]["kms"].replace("acme-ci", "acme-keys")}},
        "set create_signing_key = false for a key that is there already",
    ),
    "odd-name": (
        {**SHOP, "pipelines": {"The Shop": SHOP["pipelines"]["shop"]}},
        "cannot give their names to resources of Google Cloud",
    ),
}
SIZES = {
    "too-little": 'memory = "256Mi"',
    "too-much": 'memory = "5Gi"',
    "too-little-for-four": 'cpu = "4", memory = "1Gi"',
}
STRANGERS = {
    "result_publishers": "has no such pipeline; it has shop",
    "suite_publishers": "has a subscription of that name as its `via`",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_bad_value_is_refused_with_what_is_right(planned: dict[str, Plan], message: str) -> None:
    """Each check of a variable says which it is, and what its value should be."""
    assert message in planned["bad-values"].refusal


def test_every_check_of_a_variable_has_been_tried() -> None:
    """A check that nothing is refused by could be wrong; two have tests of their own."""
    checks = (MODULE / "variables.tf").read_text(encoding="utf-8").count("validation {")
    assert checks == len(MESSAGES) + 2


@pytest.mark.parametrize("size", SIZES)
def test_memory_that_does_not_fit_the_processors_is_refused(
    planned: dict[str, Plan], size: str
) -> None:
    """The message says how much goes with how many processors."""
    assert "512Mi to 4Gi with 1 processor" in planned[f"size-{size}"].refusal


def test_a_configuration_that_is_no_yaml_is_refused(planned: dict[str, Plan]) -> None:
    """The message says how to find the line."""
    assert (
        "not-yaml.yaml is not YAML: `promotion check` names the line" in planned["not-yaml"].refusal
    )


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_cannot_be_deployed_is_refused_with_what_to_write(
    planned: dict[str, Plan], name: str
) -> None:
    """The message names the file, and what to write in it."""
    assert CONFIGURATIONS[name][1] in planned[name].refusal
    assert f"{name}.yaml" in planned[name].refusal


@pytest.mark.parametrize("name", STRANGERS)
def test_publishers_of_what_there_is_not_are_refused(planned: dict[str, Plan], name: str) -> None:
    """A mistyped name gives nobody a right that they were to have: it is no silent success."""
    assert STRANGERS[name] in planned[f"stranger-{name}"].refusal
