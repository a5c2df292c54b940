"""The promotion.yaml that judges, kept as an OCI artifact beside the images that it judges.

It lies in the repository ``promotion-policy`` of each stage, so a record's policy URI resolves
where the record is, and whoever can read the images can ask why one did not move. With it lie the
public keys that it trusts. Each time another policy comes into force it gets a tag that begins with
the moment, so the newest tag names the policy in force, and no tag ever moves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from promotion import typed
from promotion.errors import BadReference, NotFound, UnsupportedContent
from promotion.evidence.attestation import EMPTY, EMPTY_DESCRIPTOR
from promotion.evidence.statement import ResourceDescriptor
from promotion.registry.client import RepositoryClient
from promotion.registry.manifest import OCI_MANIFEST, Blob, Descriptor, Manifest
from promotion.registry.reference import Repository, digest_of, parse_digest
from promotion.turns import Turns

NAME = "promotion-policy"
ARTIFACT_TYPE = "application/vnd.promotion.policy.v1"

_POLICY_TYPE = "application/yaml"
_KEYS_TYPE = "application/x-pem-file"
_TAG = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{12}")
_LARGEST = 1024 * 1024
_CLOCK_SKEW = timedelta(days=1)


class _Artifact(msgspec.Struct):
    layers: list[Descriptor]


class Policy(msgspec.Struct, frozen=True):
    """What judges.

    Attributes:
        text: promotion.yaml, byte for byte.
        keys: The public keys whose signatures count, PEM, one after the other; empty where
            nothing is signed.
    """

    text: bytes
    keys: bytes = b""

    @property
    def manifest(self) -> Manifest:
        """The artifact that keeps it; the same bytes for the same policy."""
        layers = [(_POLICY_TYPE, self.text, "promotion.yaml"), (_KEYS_TYPE, self.keys, "keys.pem")]
        content = msgspec.json.encode(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": ARTIFACT_TYPE,
                "config": EMPTY_DESCRIPTOR,
                "layers": [
                    {
                        "mediaType": kind,
                        "digest": digest_of(layer),
                        "size": len(layer),
                        "annotations": {"org.opencontainers.image.title": title},
                    }
                    for kind, layer, title in layers
                    if layer
                ],
            }
        )
        return Manifest(OCI_MANIFEST, digest_of(content), content)

    def at(self, stage: Repository) -> ResourceDescriptor:
        """How a record in that stage names it: where it is, and the digest of promotion.yaml."""
        digest = {"sha256": digest_of(self.text).partition(":")[2]}
        return ResourceDescriptor(f"oci://{repository_of(stage)}@{self.manifest.digest}", digest)


def _now() -> datetime:
    return datetime.now(UTC)


class PolicyKeeper:
    """Sees to it, once for each stage, that the policy in force is kept there."""

    def __init__(self, read: Callable[[], Policy], now: Callable[[], datetime] = _now) -> None:
        """The policy is read when it is first needed: its keys may have to be asked for."""
        self._read = read
        self._now = now
        self._turns = Turns()
        self._policy: Policy | None = None
        self._kept: set[Repository] = set()

    @property
    def policy(self) -> Policy:
        """The policy in force.

        Raises:
            BadConfiguration, Retryable: Its keys cannot be had.
        """
        if self._policy is None:
            self._policy = self._read()
        return self._policy

    def keep(self, repository: RepositoryClient) -> None:
        """Make it the newest in a ``promotion-policy`` repository.

        A registry that takes long over it holds up nobody who needs it elsewhere.

        Raises:
            Retryable: It could not be written, or another thread takes longer over that than there
                is time.
        """
        place = repository.repository
        if place in self._kept:
            return
        with self._turns.turn(str(place)):
            if place not in self._kept:
                _keep(self.policy, repository, self._now())
                self._kept.add(place)


class NamedPolicy(PolicyKeeper):
    """A policy that records can name, without its coming into force where it is kept.

    For whoever judges by a file of their own: what is in force is for the function to say.
    """

    def keep(self, repository: RepositoryClient) -> None:
        """Have it in a ``promotion-policy`` repository, under a tag that is never the newest.

        Raises:
            Retryable: It could not be written.
        """
        digest = self.policy.manifest.digest
        if not repository.has_manifest(digest):
            _write(self.policy, repository, f"named-{digest.partition(':')[2][:12]}")


def repository_of(stage: Repository) -> Repository:
    """The repository that keeps the policies of a stage."""
    return Repository(stage.host, f"{stage.path}/{NAME}")


def in_force(
    repository: RepositoryClient, now: Callable[[], datetime] = _now
) -> tuple[str, Policy]:
    """The newest policy of a ``promotion-policy`` repository, and its tag.

    A tag of a day that is yet to come is nobody's who keeps policies here.

    Raises:
        NotFound: It has none.
        UnsupportedContent: What is kept there is no policy.
        Retryable: It could not be read.
    """
    tag = _newest_tag(repository, now())
    if not tag:
        raise NotFound(f"{repository.repository} holds no policy")
    return tag, read(repository, tag)


def read(repository: RepositoryClient, name: str) -> Policy:
    """The policy under a tag or a digest.

    Raises:
        NotFound: There is none.
        UnsupportedContent: It is no policy.
        Retryable: It could not be read.
    """
    manifest = repository.manifest(name)
    try:
        layers = typed.decode(manifest.content, _Artifact).layers
    except (ValueError, RecursionError) as error:
        raise UnsupportedContent(f"{repository.repository}:{name} is no policy: {error}") from error
    by_type = {layer.media_type: layer for layer in layers}
    if _POLICY_TYPE not in by_type:
        raise UnsupportedContent(f"{repository.repository}:{name} holds no promotion.yaml")
    text = _content(repository, by_type[_POLICY_TYPE])
    keys = _content(repository, by_type[_KEYS_TYPE]) if _KEYS_TYPE in by_type else b""
    return Policy(text, keys)


def _keep(policy: Policy, repository: RepositoryClient, now: datetime) -> None:
    digest = policy.manifest.digest
    newest = _newest_tag(repository, now)
    if newest and repository.resolve(newest) == digest:
        return
    _write(policy, repository, f"{_moment(now)}-{digest.partition(':')[2][:12]}")


def _write(policy: Policy, repository: RepositoryClient, tag: str) -> None:
    for content in (EMPTY, policy.text, policy.keys):
        if content:
            repository.put_blob(content)
    repository.put_manifest(policy.manifest, tag)


def _newest_tag(repository: RepositoryClient, now: datetime) -> str:
    tags = (tag for tag in repository.tags() if _TAG.fullmatch(tag))
    return max((tag for tag in tags if tag < _moment(now + _CLOCK_SKEW)), default="")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _content(repository: RepositoryClient, layer: Descriptor) -> bytes:
    try:
        blob = Blob(parse_digest(layer.digest), layer.size)
    except BadReference as error:
        raise UnsupportedContent(f"A policy in {repository.repository}: {error}") from error
    return repository.read_blob(blob, _LARGEST)
