"""What Terraform uploads runs by itself, told by the variables that Terraform sets."""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3

from dev import images
from dev.pubsub import PubSub
from dev.services import Service, deployed_function
from dev.stack import signed
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport
from tests.integration.terraform import MODULE, Resource, made

ROOT = MODULE.parent
PLACE = "bundle"
PROJECT = "acme-ci"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def resources() -> dict[str, Resource]:
    """What the module makes, with the minimal example's promotion.yaml."""
    minimal = {
        "project_id": f'"{PROJECT}"',
        "region": '"europe-west2"',
        "configuration": '"examples/minimal/promotion.yaml"',
    }
    return {each.address: each for each in made(minimal)}


@pytest.fixture(scope="module")
def bundle(resources: dict[str, Resource]) -> dict[str, str]:
    """The files of the bundle."""
    sources = resources["data.archive_file.bundle"].values["source"]
    return {each["filename"]: each["content"] for each in sources}


@pytest.fixture(scope="module")
def python(bundle: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has what the bundle's requirements.txt asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    requirements = folder / "requirements.txt"
    requirements.write_text(bundle["requirements.txt"], encoding="utf-8")
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    assert uv, "uv is one of the development tools"
    python = folder / "venv/bin/python"
    exact = ["--quiet", "--require-hashes", "-r", str(requirements)]
    subprocess.run(
        [uv, "venv", "--quiet", "--python", _deployed_python(), str(folder / "venv")], check=True
    )
    subprocess.run([uv, "pip", "install", "--python", str(python), *exact], check=True)
    return python


def _deployed_python() -> str:
    """Python 3.13, as in the deployment, where it is found."""
    found = subprocess.run([ROOT / "dev/find-python", "3.13"], capture_output=True, text=True)
    return found.stdout.strip() or sys.executable


@pytest.fixture(scope="module")
def unpacked(
    bundle: dict[str, str], registry: Service, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The bundle in a folder, with registry and key within reach in its promotion.yaml."""
    folder = tmp_path_factory.mktemp("unpacked")
    for name, content in bundle.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    text = (folder / "promotion.yaml").read_text(encoding="utf-8")
    text = text.replace("europe-west2-docker.pkg.dev/acme-ci", f"{registry.host}/{PLACE}")
    text = text[: text.index("signing:")] + signed(tmp_path_factory.mktemp("key"))
    (folder / "promotion.yaml").write_text(text, encoding="utf-8")
    return folder


def _environment(resources: Mapping[str, Resource], function: str) -> dict[str, str]:
    """The variables that Terraform sets, and those that every function has on Cloud Run."""
    deployed = resources[f'google_cloudfunctions2_function.main["{function}"]'].values
    return {
        **deployed["service_config"][0]["environment_variables"],
        "FUNCTION_TARGET": deployed["build_config"][0]["entry_point"],
        "K_SERVICE": deployed["name"],
    }


@pytest.fixture(scope="module")
def pubsub(emulator: Service) -> Iterator[PubSub]:
    """The project that the example is about."""
    with PubSub(emulator.host, PROJECT) as client:
        yield client


@pytest.fixture(scope="module")
def function(
    resources: dict[str, Resource],
    python: Path,
    unpacked: Path,
    pubsub: PubSub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """The function promote, with the topics and subscriptions that Terraform makes."""
    environment = {**_environment(resources, "promote"), "PUBSUB_EMULATOR_HOST": pubsub.host}
    for each in resources.values():
        if each.kind == "google_pubsub_topic":
            pubsub.create_topic(each.values["name"])
    pubsub.create_subscription("events", "promotion-events")
    with deployed_function(
        python, unpacked, environment, tmp_path_factory.mktemp("promote")
    ) as server:
        _subscribe(pubsub, resources, server)
        yield server


def _subscribe(pubsub: PubSub, resources: Mapping[str, Resource], function: Service) -> None:
    """Let the emulator push as Pub/Sub would, to the paths that Terraform gives."""
    promote = resources['google_cloudfunctions2_function.main["promote"]'].values
    uri = promote["service_config"][0]["uri"]
    for each in resources.values():
        for push in each.values.get("push_config") or []:
            pubsub.create_subscription(
                each.values["name"],
                each.values["topic"].rpartition("/")[2],
                endpoint=push["push_endpoint"].replace(uri, function.url),
                ack_deadline=each.values["ack_deadline_seconds"],
            )


@pytest.fixture
def stages(registry: Service, transport: Transport) -> tuple[RepositoryClient, RepositoryClient]:
    """Where images are before and after their promotion."""
    first, second = (
        RepositoryClient(Repository(registry.host, f"{PLACE}/shop/{stage}/shop"), transport)
        for stage in ("fast-feedback", "prod")
    )
    return first, second


def _push(stage: RepositoryClient, version: str) -> Digest:
    layer = images.layer({"version": version.encode()})
    return images.push_image(stage, [layer], version).digest


def _result(stage: RepositoryClient, version: str, digest: Digest, outcome: str) -> bytes:
    image = f"{stage.repository}:{version}"
    said = {"image": image, "digest": digest, "suite": "functional", "outcome": outcome}
    return json.dumps(said).encode()


def test_it_promotes_an_image(
    function: Service,
    pubsub: PubSub,
    stages: tuple[RepositoryClient, RepositoryClient],
) -> None:
    """A result on the pipeline's topic brings the image into the next stage, and an event out."""
    first, second = stages
    digest = _push(first, "1.0.0")
    pubsub.publish("shop-results", _result(first, "1.0.0", digest, "success"))

    (event,) = pubsub.pull("events", PATIENCE)

    assert event.attributes["ce-type"].startswith("dev.cdeventsx.promotion-artifact.promoted.")
    assert second.resolve("1.0.0") == digest
    assert function.exit_code is None


def _deliver(http: urllib3.PoolManager, function: Service, data: bytes) -> None:
    """Push a message and wait for what becomes of it."""
    message = {
        "messageId": "1",
        "publishTime": "2026-01-31T12:00:00Z",
        "data": base64.b64encode(data).decode(),
    }
    push = {"message": message, "subscription": f"projects/{PROJECT}/subscriptions/shop-results"}
    url = f"{function.url}/projects/{PROJECT}/topics/shop-results"
    answer = http.request("POST", url, json=push, timeout=PATIENCE)
    assert answer.status == 200, function.output()


def test_every_metric_finds_what_it_counts(
    resources: dict[str, Resource],
    function: Service,
    http: urllib3.PoolManager,
    stages: tuple[RepositoryClient, RepositoryClient],
) -> None:
    """Each filter matches a line of the log, which has the fields for its labels and its value."""
    first, _ = stages
    outcomes = {
        "2.0.0": ["success", "failure"],  # promoted, then revoked
        "2.0.1": ["failure"],
        "2.0.2": ["cancel"],
    }
    for version, said in outcomes.items():
        digest = _push(first, version)
        for outcome in said:
            _deliver(http, function, _result(first, version, digest, outcome))
    _deliver(http, function, b"no result")

    lines = [json.loads(line) for line in function.output().splitlines() if line[:1] == "{"]
    metrics = {
        each.values["name"]: each.values
        for each in resources.values()
        if each.kind == "google_logging_metric" and each.values["name"] != "promotion/errors"
    }
    assert len(metrics) == 10
    for name, metric in metrics.items():
        found = [line for line in lines if _matches(line, metric["filter"])]
        assert found, f"{name} counts nothing"
        extracted = [metric["value_extractor"] or "", *metric["label_extractors"].values()]
        fields = re.findall(r"jsonPayload\.(\w+)", " ".join(extracted))
        assert all(field in line for line in found for field in fields), name
    errors = "severity>=ERROR AND NOT jsonPayload.dead_letter:*"
    assert not [line for line in lines if _matches(line, errors)]


def _matches(line: Mapping[str, Any], logging_filter: str) -> bool:
    """Whether Cloud Logging would find a line by the conditions that metrics.tf uses."""
    return all(_holds(line, condition) for condition in logging_filter.split(" AND "))


def _holds(line: Mapping[str, Any], condition: str) -> bool:
    if condition.startswith("resource."):
        return True
    if condition == "severity>=ERROR":
        return line["severity"] in ("ERROR", "CRITICAL")
    if negated := re.fullmatch(r"NOT (.*)", condition):
        return not _holds(line, negated[1])
    if there := re.fullmatch(r"jsonPayload\.(\w+):\*", condition):
        return there[1] in line
    equal = re.fullmatch(r'jsonPayload\.(\w+)="(\w+)"', condition)
    assert equal, f"no condition that this test knows: {condition}"
    return bool(line.get(equal[1]) == equal[2])


def test_control_runs_from_the_same_bundle(
    resources: dict[str, Resource],
    python: Path,
    unpacked: Path,
    http: urllib3.PoolManager,
    tmp_path: Path,
) -> None:
    """It starts, and asks who it is that decides."""
    decision = {"action": "hold", "pipeline": "shop", "reason": "a test"}
    with deployed_function(
        python, unpacked, _environment(resources, "control"), tmp_path
    ) as server:
        answer = http.request("POST", server.url, json=decision, timeout=PATIENCE)
    assert (answer.status, "token" in answer.json()["error"]) == (401, True)


def test_the_variables_are_those_of_the_readme(resources: dict[str, Resource]) -> None:
    """Terraform sets nothing that the function does not know."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    of_the_platform = {"FUNCTION_TARGET", "K_SERVICE", "LOG_EXECUTION_ID", "THREADS"}
    for function in ("promote", "control"):
        assert _environment(resources, function).keys() <= known | of_the_platform


def test_it_holds_what_runs_and_nothing_else(bundle: dict[str, str]) -> None:
    """The modules that main.py reaches, its lock and its configuration.

    A module that only the command line uses belongs to ``command_line`` in terraform/bundle.tf.
    """
    reached = {str(path.relative_to(ROOT)) for path in _reached(ROOT / "main.py")}
    assert set(bundle) == reached | {"requirements.txt", "promotion.yaml"}
    assert bundle["requirements.txt"] == (ROOT / "requirements.txt").read_text(encoding="utf-8")
    example = MODULE / "examples/minimal/promotion.yaml"
    assert bundle["promotion.yaml"] == example.read_text(encoding="utf-8")


def _reached(start: Path) -> set[Path]:
    """The file and all of the product's that it imports, wherever the imports stand."""
    reached: set[Path] = set()
    ahead = [start]
    while ahead:
        file = ahead.pop()
        if file not in reached:
            reached.add(file)
            ahead += [part for name in _imported(file) for part in _files_of(name)]
    return reached


def _imported(file: Path) -> Iterator[str]:
    """The names of modules, and of what may be modules, that a file imports when it runs."""
    for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one, without what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run(child)


def _files_of(name: str) -> list[Path]:
    """The files that are run to import this name, if it is the product's."""
    parts = name.split(".")
    if parts[0] != "promotion":
        return []
    places = [ROOT.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    candidates = [
        file for place in places for file in (place / "__init__.py", place.with_suffix(".py"))
    ]
    return [file for file in candidates if file.is_file()]
