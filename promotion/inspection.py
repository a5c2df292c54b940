"""What promotion.yaml needs from registries and keys, checked on the real ones.

Nothing is written: rights are asked for, or tried with an upload that is cancelled at once. What
is found is data, a Check for each requirement; how it is shown is not decided here.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial

import msgspec

from promotion.artifact_registry import (
    ArtifactRegistry,
    Description,
    RepositoryName,
    is_artifact_registry,
)
from promotion.errors import AccessDenied, BadReference, NotFound, PromotionError
from promotion.pipeline import Pipelines, Signing, Stage
from promotion.registry import parallel
from promotion.registry.fetch import Fetch
from promotion.registry.probe import try_reading, try_writing
from promotion.registry.reference import Repository
from promotion.registry.transport import Transport
from promotion.signing import NotTrusted, signer_and_verifier

READING = (
    "artifactregistry.repositories.downloadArtifacts",
    "artifactregistry.tags.get",
    "artifactregistry.tags.list",
)
"""What it takes to resolve tags, to list them, and to read images and what refers to them."""

WRITING = (
    "artifactregistry.repositories.uploadArtifacts",
    "artifactregistry.tags.create",
)
"""What it takes to write images and evidence, and to set a tag that is not there yet."""

_READER = "roles/artifactregistry.reader"
_WRITER = "roles/artifactregistry.writer"
_PROBE_NAME = "promotion-check"
# DSSE signs the type as well, so that this signature is good for no statement.
_PROBE_TYPE = "application/vnd.promotion.check"
_PROBE_PAYLOAD = b"Does this key sign?"


class State(StrEnum):
    """How a requirement is met."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Check(msgspec.Struct, frozen=True):
    """One requirement, and how it is met.

    Attributes:
        subject: What it is about: a repository, or ``signing``.
        what: The requirement, in a word or two.
        message: What was found.
        remedy: What to do about it, a command where there is one; empty if there is nothing to do,
            or the message says it.
    """

    subject: str
    what: str
    state: State
    message: str
    remedy: str = ""


def inspect(
    pipelines: Pipelines, transport: Transport, registry: ArtifactRegistry, fetch: Fetch
) -> list[Check]:
    """Check every repository, each once and all beside each other, and the signing key.

    Args:
        pipelines: What promotion.yaml says.
        transport: For registries other than Artifact Registry.
        registry: For Artifact Registry.
        fetch: For Cloud KMS.
    """
    tasks: list[Callable[[], list[Check]]] = [
        *_repositories(pipelines, transport, registry),
        partial(_signing, pipelines.signing, fetch),
    ]
    begun = [parallel.start(task) for task in tasks]
    return [check for each in begun for check in each.result()]


def _repositories(
    pipelines: Pipelines, transport: Transport, registry: ArtifactRegistry
) -> Iterator[Callable[[], list[Check]]]:
    asked: set[RepositoryName] = set()
    for stage in _stages(pipelines):
        if not is_artifact_registry(stage.repository.host):
            yield partial(_elsewhere, stage.repository, transport)
            continue
        try:
            name = RepositoryName.of(stage.repository)
        except BadReference as error:
            misplaced = _failed(str(stage.repository), "exists", error)
            yield partial(list, [misplaced])
            continue
        if name not in asked:
            asked.add(name)
            yield partial(_in_artifact_registry, name, registry)


def _stages(pipelines: Pipelines) -> list[Stage]:
    return [stage for pipeline in pipelines.pipelines for stage in pipeline.stages.values()]


# Artifact Registry


def _in_artifact_registry(name: RepositoryName, registry: ArtifactRegistry) -> list[Check]:
    try:
        description = registry.describe(name)
    except PromotionError as error:
        return [_failed(name.address, "exists", error, _way_in(name, error))]
    return [*_set_up(name, description), *_rights(name, registry)]


def _way_in(name: RepositoryName, error: PromotionError) -> str:
    if isinstance(error, NotFound):
        return _create(name, name.name)
    return _grant(name, _WRITER) if isinstance(error, AccessDenied) else ""


def _set_up(name: RepositoryName, description: Description) -> list[Check]:
    return [
        Check(name.address, "exists", State.OK, f"{name.location}, project {name.project}"),
        _format(name, description),
        _mode(name, description),
        _immutable_tags(name, description),
        _cleanup(name, description),
    ]


def _format(name: RepositoryName, description: Description) -> Check:
    check = partial(Check, name.address, "format")
    if description.format == "DOCKER":
        return check(State.OK, description.format)
    return check(State.ERROR, f"{description.format}, which holds no images", _replace(name))


def _mode(name: RepositoryName, description: Description) -> Check:
    check = partial(Check, name.address, "mode")
    if description.mode == "STANDARD_REPOSITORY":
        return check(State.OK, description.mode)
    return check(State.ERROR, f"{description.mode}, which cannot be written", _replace(name))


def _immutable_tags(name: RepositoryName, description: Description) -> Check:
    check = partial(Check, name.address, "immutable tags")
    if description.immutable_tags:
        return check(State.OK, "no tag can be moved or deleted")
    remedy = _gcloud("update", name, "--immutable-tags")
    return check(State.ERROR, "any writer can let a tag name something else", remedy)


def _cleanup(name: RepositoryName, description: Description) -> Check:
    check = partial(Check, name.address, "cleanup policies")
    policies = _deleting_untagged(description)
    if not policies:
        return check(State.OK, "none deletes what has no tag")
    return check(
        State.WARNING,
        f"{', '.join(policies)} may delete what has no tag, such as evidence",
        _gcloud("delete-cleanup-policies", name, "--policynames", ",".join(policies)),
    )


def _deleting_untagged(description: Description) -> list[str]:
    """The cleanup policies that delete images without a tag; where two apply, the keeper wins."""
    applying = [policy for policy in description.cleanup_policies if policy.takes_untagged]
    if description.is_rehearsed or any(each.keeps and not each.is_narrowed for each in applying):
        return []
    return [policy.name for policy in applying if not policy.keeps]


def _rights(name: RepositoryName, registry: ArtifactRegistry) -> list[Check]:
    try:
        granted = registry.granted(name, (*READING, *WRITING))
    except PromotionError as error:
        return [_failed(name.address, "rights", error, _way_in(name, error))]
    # One command is enough where both are missing: who may write may read.
    role = _READER if granted.issuperset(WRITING) else _WRITER
    return [
        _right(name, what, sorted(set(needed) - granted), role)
        for what, needed in (("read", READING), ("write", WRITING))
    ]


def _right(name: RepositoryName, what: str, missing: Sequence[str], role: str) -> Check:
    check = partial(Check, name.address, what)
    if not missing:
        return check(State.OK, "this identity may")
    return check(State.ERROR, f"this identity lacks {', '.join(missing)}", _grant(name, role))


def _grant(name: RepositoryName, role: str) -> str:
    member = "serviceAccount:EMAIL"
    return _gcloud("add-iam-policy-binding", name, "--member", member, "--role", role)


def _create(name: RepositoryName, called: str) -> str:
    new = msgspec.structs.replace(name, name=called)
    return _gcloud("create", new, "--repository-format", "docker", "--immutable-tags")


def _replace(name: RepositoryName) -> str:
    return f"{_create(name, 'NAME')}; that cannot be changed, so let promotion.yaml name a new one"


def _gcloud(verb: str, name: RepositoryName, *options: str) -> str:
    place = ("--project", name.project, "--location", name.location)
    return shlex.join(["gcloud", "artifacts", "repositories", verb, name.name, *place, *options])


# Registries elsewhere


def _elsewhere(stage: Repository, transport: Transport) -> list[Check]:
    # A stage is what its images' names begin with: many registries hold none by its own name.
    repository = Repository(stage.host, f"{stage.path}/{_PROBE_NAME}")
    return [
        _readable(stage, repository, transport),
        _writable(stage, repository, transport),
        Check(
            str(stage),
            "immutable tags",
            State.WARNING,
            "cannot be asked there",
            f"see in the settings of {stage.host} that tags cannot be overwritten",
        ),
    ]


def _readable(stage: Repository, repository: Repository, transport: Transport) -> Check:
    try:
        try_reading(repository, transport)
    except PromotionError as error:
        return _failed(str(stage), "read", error, _log_in(stage, error))
    return Check(str(stage), "read", State.OK, "this identity may")


def _writable(stage: Repository, repository: Repository, transport: Transport) -> Check:
    check = partial(Check, str(stage), "write")
    try:
        nothing_left = try_writing(repository, transport)
    except PromotionError as error:
        return _failed(str(stage), "write", error, _log_in(stage, error))
    if nothing_left:
        return check(State.OK, "this identity may")
    message = f"this identity may; an empty upload is left in {repository}"
    return check(State.WARNING, message, "nothing: registries forget uploads that do not go on")


def _log_in(stage: Repository, error: PromotionError) -> str:
    if not isinstance(error, AccessDenied):
        return ""
    return f"docker login {stage.host}, as an account that may read and write there"


# Signing


def _signing(signing: Signing | None, fetch: Fetch) -> list[Check]:
    check = partial(Check, "signing", "sign and verify")
    if signing is None:
        message = "nothing is signed: who can write to a repository can write evidence"
        remedy = "promotion keygen, or a key of Cloud KMS: name it as signing.kms"
        return [check(State.WARNING, message, remedy)]
    try:
        signer, verifier = signer_and_verifier(signing, fetch)
        envelope = signer.sign(_PROBE_TYPE, _PROBE_PAYLOAD)
        key_id = verifier.verify(envelope)
    except NotTrusted:
        message = "the key signs, but signing.trusted does not hold it: what it signs is ignored"
        return [check(State.ERROR, message, f"add to signing.trusted:\n{signer.public_key}")]
    except PromotionError as error:
        return [_failed("signing", "sign and verify", error, _let_sign(signing, error))]
    return [check(State.OK, f"key {key_id[:12]}… signs and is trusted")]


def _let_sign(signing: Signing, error: PromotionError) -> str:
    if not signing.kms or not isinstance(error, AccessDenied):
        return ""
    _, project, _, location, _, ring, _, key, *_ = signing.kms.split("/")
    place = ("--project", project, "--location", location, "--keyring", ring)
    whom = ("--member", "serviceAccount:EMAIL", "--role", "roles/cloudkms.signerVerifier")
    return shlex.join(["gcloud", "kms", "keys", "add-iam-policy-binding", key, *place, *whom])


def _failed(subject: str, what: str, error: PromotionError, remedy: str = "") -> Check:
    return Check(subject, what, State.ERROR, str(error), remedy)
