"""The embedded registry with the habits of Google's Artifact Registry, so that tests meet them.

It wants an access token, knows who may read and write where, sends downloads elsewhere, takes a
blob in one piece, keeps tags where they are, and has a quota. What its documentation does not say
is a field of `Answers`, so that a test can try what else might be true; docs/artifact-registry.md
says what is documented and lists the open questions.

    python -m dev.artifact_registry --root DIRECTORY --grant TOKEN ROLE PROJECT[/REPOSITORY] …
"""

from collections.abc import Mapping
from pathlib import Path

from dev.artifact_registry.access import Access, Grants, Role
from dev.artifact_registry.answers import Answers
from dev.artifact_registry.profile import Profile
from dev.artifact_registry.quota import Quota
from dev.registry import EmbeddedRegistry

__all__ = ["Answers", "ArtifactRegistry", "Grants", "Quota", "Role"]


class ArtifactRegistry(EmbeddedRegistry):
    """One location of Artifact Registry; a repository's path is PROJECT/REPOSITORY/IMAGE.

    Attributes:
        access: Who may do what. Tokens can be accepted and expired at any time.
        quota: How many requests are answered. The next few can be refused at any time.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        *,
        tokens: Mapping[str, Grants],
        location: str = "europe-west1",
        immutable_tags: bool = False,
        quota: Quota | None = None,
        largest_page: int = 10_000,
        answers: Answers | None = None,
    ) -> None:
        answers = answers or Answers()
        self.access = Access(tokens, location, answers)
        self.quota = quota or Quota()
        self._profile = Profile(root, self.access, self.quota, answers, largest_page)
        self.immutable_tags = immutable_tags
        super().__init__(root, port, distribution=self._profile)

    @property
    def immutable_tags(self) -> bool:
        """Whether a tag stays with the manifest that it names."""
        return self._profile.immutable_tags

    @immutable_tags.setter
    def immutable_tags(self, immutable: bool) -> None:
        self._profile.immutable_tags = immutable
