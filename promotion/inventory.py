"""What stages hold: the names of their images, and each one's tags.

Artifact Registry is asked through Google's API, which also tells what each tag names. Any other
registry is asked for its catalog, and for the tags of each name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from promotion.artifact_registry import ArtifactRegistry, RepositoryName, is_artifact_registry
from promotion.deadline import NEVER, Deadline
from promotion.registry import catalog, parallel
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Repository
from promotion.registry.transport import Transport

Tags = Mapping[str, Digest | None]
"""The tags of an image's name, and what each of them names; None where the list does not tell."""

_AT_ONCE = 8

_Subject = TypeVar("_Subject")


class Inventory(Protocol):
    """What stages hold, as of one look at them."""

    def images(self, stage: Repository) -> Mapping[str, Tags]:
        """The names of all images that are in a stage, each with its tags.

        Args:
            stage: The prefix that the stage's repositories share.

        Raises:
            PromotionError: They cannot be listed; the text says what to do.
        """


class RegistryInventory:
    """Asks each registry in its own way, and for each thing once: it is for one look at them."""

    def __init__(
        self,
        transport: Transport,
        artifact_registry: ArtifactRegistry,
        deadline: Deadline = NEVER,
    ) -> None:
        """Google's API is asked as the identity that it has, all others through the transport."""
        self._transport = transport
        self._artifact_registry = artifact_registry
        self._deadline = deadline
        self._stages: dict[Repository, Mapping[str, Tags]] = {}
        self._packages: dict[RepositoryName, list[str]] = {}
        self._catalogs: dict[str, list[Repository]] = {}

    def images(self, stage: Repository) -> Mapping[str, Tags]:
        """The names of all images that are in a stage, each with its tags.

        Raises:
            AccessDenied, NotFound: They may not be listed, or there is no such repository.
            RegistryRefused: The registry has no list of its repositories.
            UnsupportedContent: A list does not end, or is longer than any that is of use.
            BadReference: The stage is on a host of Artifact Registry, but in no repository there.
            RegistryUnavailable, DeadlineExceeded: There was no answer, or not in time.
        """
        if stage not in self._stages:
            in_google = is_artifact_registry(stage.host)
            self._stages[stage] = self._in_google(stage) if in_google else self._elsewhere(stage)
        return self._stages[stage]

    def _in_google(self, stage: Repository) -> Mapping[str, Tags]:
        repository = RepositoryName.of(stage)
        if repository not in self._packages:
            self._packages[repository] = self._artifact_registry.packages(repository)
        # A stage may be a whole repository of Artifact Registry, or a folder in one.
        folder = f"{stage}/".removeprefix(f"{repository.address}/")
        packages = [each for each in self._packages[repository] if each.startswith(folder)]
        list_tags = partial(self._artifact_registry.tags, repository)
        listed = _shared_out(list_tags, packages, stage.host)
        return {package.removeprefix(folder): tags for package, tags in listed.items()}

    def _elsewhere(self, stage: Repository) -> Mapping[str, Tags]:
        if stage.host not in self._catalogs:
            found = catalog.repositories(stage.host, self._transport, self._deadline)
            self._catalogs[stage.host] = found
        folder = f"{stage.path}/"
        inside = [each for each in self._catalogs[stage.host] if each.path.startswith(folder)]
        listed = _shared_out(self._tags, inside, stage.host)
        return {each.path.removeprefix(folder): tags for each, tags in listed.items()}

    def _tags(self, repositories: Sequence[Repository]) -> dict[Repository, Tags]:
        return {
            each: dict.fromkeys(RepositoryClient(each, self._transport, self._deadline).tags())
            for each in repositories
        }


def _shared_out(
    list_tags: Callable[[Sequence[_Subject]], Mapping[_Subject, Tags]],
    subjects: Sequence[_Subject],
    host: str,
) -> dict[_Subject, Tags]:
    """Have all of them listed, so many beside each other that others get their turns too."""
    shares = [subjects[first::_AT_ONCE] for first in range(min(_AT_ONCE, len(subjects)))]
    begun = [parallel.start(partial(list_tags, share), host) for share in shares]
    return {subject: tags for each in begun for subject, tags in each.result().items()}
