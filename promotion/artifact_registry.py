"""Artifact Registry beyond single images: a repository's set-up, rights, and all that is in it.

    GET  https://artifactregistry.googleapis.com/v1/projects/P/locations/L/repositories/R
    POST https://artifactregistry.googleapis.com/v1/…:testIamPermissions
    GET  https://artifactregistry.googleapis.com/v1/…/packages
    GET  https://artifactregistry.googleapis.com/v1/…/packages/PACKAGE/tags

Only ``promotion check --online`` and evaluations ask, so Google's client library, a third of a
second to load, is loaded when the first question is put. It speaks REST: no channel is left open.

A package is what images of one name are in, and its name has the slashes of theirs. Tags are listed
package by package: the list of all images (``dockerImages``) would be shorter by requests, but has
an entry for each piece of evidence too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import msgspec

from promotion.errors import (
    AccessDenied,
    BadConfiguration,
    BadReference,
    NotFound,
    PromotionError,
    RegistryRefused,
    RegistryUnavailable,
    UnsupportedContent,
)
from promotion.registry import request_log
from promotion.registry.credentials import Anonymous, Credentials, secret_of
from promotion.registry.google import GoogleDefault
from promotion.registry.reference import Digest, Repository, is_loopback, is_tag, parse_digest

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.artifactregistry_v1 import ArtifactRegistryClient, types

    from promotion.registry.fetch import Fetch

ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY"
"""Names another endpoint of the API; gcloud reads the same variable."""

_ENDPOINT = "https://artifactregistry.googleapis.com"
_SERVICE = "google.devtools.artifactregistry.v1.ArtifactRegistry"
_SECONDS = 30.0
_LONGEST_EXPLANATION = 300
_PAGE = 1_000
# Past this a list is a fault: it ends in an error, and is never cut.
_MOST_PAGES = 1_000
_HOST = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")

# Google's tokens are had by the names of its registries; any of them is good for the API as well.
_TOKEN_HOST = "gcr.io"


class RepositoryName(msgspec.Struct, frozen=True):
    """A repository of Artifact Registry, by the resource that it is in Google Cloud."""

    project: str
    location: str
    name: str

    @classmethod
    def of(cls, repository: Repository) -> RepositoryName:
        """The repository that holds what an image reference names.

        Raises:
            BadReference: The host is not Artifact Registry's for images, or the path is too short.
        """
        host = _HOST.fullmatch(repository.host)
        project, *names = repository.path.split("/")
        # A project's id has a dot only where it begins with the domain that the project belongs to.
        if "." in project and names:
            project, *names = f"{project}:{names[0]}", *names[1:]
        if host is None or not names:
            raise BadReference(
                f"{repository} is in no repository of Artifact Registry;"
                " write LOCATION-docker.pkg.dev/PROJECT/REPOSITORY"
            )
        return cls(project, host[1], names[0])

    @property
    def address(self) -> str:
        """What the references of its images begin with, ``HOST/PROJECT/REPOSITORY``."""
        project = self.project.replace(":", "/")
        return f"{self.location}-docker.pkg.dev/{project}/{self.name}"

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.name}"


class CleanupPolicy(msgspec.Struct, frozen=True):
    """A rule by which a repository deletes, or keeps, images by itself.

    Attributes:
        keeps: Whether what it applies to is kept; else it is deleted.
        takes_untagged: Whether it applies to images without a tag, too.
        is_narrowed: Whether it applies only to some of them: by age, by name, or to the newest.
    """

    name: str
    keeps: bool
    takes_untagged: bool
    is_narrowed: bool


class Description(msgspec.Struct, frozen=True):
    """How a repository is set up.

    Attributes:
        format: ``DOCKER``, ``MAVEN`` and so on, in Google's words.
        mode: ``STANDARD_REPOSITORY``, ``REMOTE_REPOSITORY`` or ``VIRTUAL_REPOSITORY``.
        is_rehearsed: Whether its cleanup policies only log what they would delete.
    """

    format: str
    mode: str
    immutable_tags: bool
    cleanup_policies: tuple[CleanupPolicy, ...] = ()
    is_rehearsed: bool = False


class ArtifactRegistry(Protocol):
    """What can be asked about repositories. Shared between threads."""

    def describe(self, name: RepositoryName) -> Description:
        """How a repository is set up.

        Raises:
            NotFound: There is no such repository.
            AccessDenied: This identity may not see it.
            RegistryRefused: The question is not one that Google understands.
            RegistryUnavailable: Google is busy, broken or out of reach.
        """

    def granted(self, name: RepositoryName, permissions: Sequence[str]) -> frozenset[str]:
        """Those of some permissions that this identity has on a repository.

        Raises:
            NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As for ``describe``.
        """

    def packages(self, name: RepositoryName) -> list[str]:
        """The names of all images of a repository, each the rest of a path, such as ``prod/shop``.

        Raises:
            UnsupportedContent: The list does not end.
            NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As for ``describe``.
        """

    def tags(self, name: RepositoryName, packages: Sequence[str]) -> dict[str, dict[str, Digest]]:
        """The tags of some packages of a repository, and what they name; by package.

        Raises:
            UnsupportedContent, NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As for
                ``packages``.
        """


class GoogleArtifactRegistry:
    """Asks Google's API, as one identity."""

    def __init__(self, identity: Credentials, endpoint: str = _ENDPOINT) -> None:
        self._identity = identity
        self._endpoint = endpoint

    def describe(self, name: RepositoryName) -> Description:
        """How a repository is set up.

        Raises:
            NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As the protocol says.
        """
        with (
            self._asked(f"Could not look up {name}") as client,
            request_log.called(f"{_SERVICE}.GetRepository", name),
        ):
            return _description(client.get_repository(name=str(name), timeout=_SECONDS))

    def granted(self, name: RepositoryName, permissions: Sequence[str]) -> frozenset[str]:
        """Those of some permissions that this identity has on a repository.

        Raises:
            NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As the protocol says.
        """
        question = {"resource": str(name), "permissions": list(permissions)}
        with (
            self._asked(f"Could not ask for the rights on {name}") as client,
            request_log.called(f"{_SERVICE}.TestIamPermissions", name),
        ):
            answer = client.test_iam_permissions(request=question, timeout=_SECONDS)
        return frozenset(answer.permissions)

    def packages(self, name: RepositoryName) -> list[str]:
        """The names of all images of a repository.

        Raises:
            UnsupportedContent, NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As the
                protocol says.
        """
        attempted = f"Could not list the packages of {name}"
        with self._asked(attempted) as client:
            return [
                unquote(package.name.rpartition("/packages/")[2])
                for page in _pages("ListPackages", client.list_packages, str(name), attempted)
                for package in page.packages
            ]

    def tags(self, name: RepositoryName, packages: Sequence[str]) -> dict[str, dict[str, Digest]]:
        """The tags of some packages, one after the other, over one connection.

        Raises:
            UnsupportedContent, NotFound, AccessDenied, RegistryRefused, RegistryUnavailable: As the
                protocol says.
        """
        attempted = f"Could not list the tags in {name}"
        with self._asked(attempted) as client:
            return {package: _tags(client, name, package, attempted) for package in packages}

    @contextmanager
    def _asked(self, attempted: str) -> Iterator[ArtifactRegistryClient]:
        """A client for one question: its connections are not made to be shared by threads."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        credential = self._identity.find(_TOKEN_HOST)
        token = secret_of(credential) if credential else ""
        try:
            with self._client(token) as client:
                yield client
        except GoogleAPICallError as error:
            raise _refusal(attempted, error, token) from error
        except GoogleAuthError as error:
            # The library would have another token after a 401; what it says is about that.
            advice = GoogleDefault.advice
            raise AccessDenied(f"{attempted}: the access token is refused; {advice}") from error
        except RequestException as error:
            text = f"{attempted}: {self._endpoint} gave no answer ({type(error).__name__})"
            raise RegistryUnavailable(text) from error

    def _client(self, token: str) -> ArtifactRegistryClient:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.artifactregistry_v1 import ArtifactRegistryClient
        from google.oauth2.credentials import Credentials as GivenToken

        return ArtifactRegistryClient(
            transport="rest",
            credentials=GivenToken(token) if token else AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self._endpoint},
        )


def artifact_registry(environment: Mapping[str, str], fetch: Fetch) -> GoogleArtifactRegistry:
    """Google's API, as the identity of the environment; an emulator on this machine sees nobody's.

    Raises:
        BadConfiguration: The endpoint that the environment names would see the identity's token
            without TLS.
    """
    endpoint = environment.get(ENDPOINT_VARIABLE, "").rstrip("/") or _ENDPOINT
    parts = urlsplit(endpoint)
    if is_loopback(parts.netloc):
        return GoogleArtifactRegistry(Anonymous(), endpoint)
    if parts.scheme != "https" or not parts.netloc:
        raise BadConfiguration(f"{ENDPOINT_VARIABLE} is {endpoint!r}; write https://HOST/")
    return GoogleArtifactRegistry(GoogleDefault(fetch), endpoint)


def is_artifact_registry(host: str) -> bool:
    """Whether a host is Artifact Registry's own, by whose paths projects are known."""
    return host.endswith(".pkg.dev")


def _tags(
    client: ArtifactRegistryClient, name: RepositoryName, package: str, attempted: str
) -> dict[str, Digest]:
    parent = f"{name}/packages/{quote(package, safe='')}"
    return {
        tag: digest
        for page in _pages("ListTags", client.list_tags, parent, attempted)
        for each in page.tags
        for tag, digest in _tag(each)
    }


def _tag(listed: types.Tag) -> Iterator[tuple[str, Digest]]:
    """The tag and what it names, unless no image can be named so."""
    tag = unquote(listed.name.rpartition("/tags/")[2])
    with suppress(BadReference):
        digest = parse_digest(unquote(listed.version.rpartition("/versions/")[2]))
        if is_tag(tag):
            yield tag, digest


def _pages(method: str, ask: Callable[..., Any], parent: str, attempted: str) -> Iterator[Any]:
    """The answers that a list consists of; each is a request, and a line in the log of them."""
    question = {"parent": parent, "page_size": _PAGE}
    for _ in range(_MOST_PAGES):
        with request_log.called(f"{_SERVICE}.{method}", parent):
            page = ask(request=question, timeout=_SECONDS)
        yield page
        if not page.next_page_token:
            return
        question = {**question, "page_token": page.next_page_token}
    raise UnsupportedContent(f"{attempted}: it does not end after {_MOST_PAGES:,} pages")


def _description(repository: types.Repository) -> Description:
    return Description(
        format=_word(repository.format_),
        mode=_word(repository.mode),
        immutable_tags=repository.docker_config.immutable_tags,
        cleanup_policies=tuple(
            _cleanup_policy(name, policy)
            for name, policy in sorted(repository.cleanup_policies.items())
        ),
        is_rehearsed=repository.cleanup_policy_dry_run,
    )


def _cleanup_policy(name: str, policy: types.CleanupPolicy) -> CleanupPolicy:
    condition = policy.condition
    return CleanupPolicy(
        name=name,
        keeps=_word(policy.action) == "KEEP",
        takes_untagged=_word(condition.tag_state) != "TAGGED" and not condition.tag_prefixes,
        is_narrowed="most_recent_versions" in policy
        or any(
            key in condition
            for key in (
                "older_than",
                "newer_than",
                "package_name_prefixes",
                "version_name_prefixes",
            )
        ),
    )


def _word(value: Any) -> str:
    """The name of an enumeration's value; its number, where this client is older than the value."""
    return str(getattr(value, "name", value))


def _refusal(attempted: str, error: GoogleAPICallError, token: str) -> PromotionError:
    # The client puts the request before what the API said.
    said = " ".join(re.sub("^[A-Z]+ [^ ]+: ", "", error.message).split())
    # Nothing keeps an endpoint from repeating what it was shown.
    said = said.replace(token, "…") if token else said
    status = int(error.code or 0)
    text = f"{attempted}: {status} {said[:_LONGEST_EXPLANATION]}"
    if status in (401, 403):
        return AccessDenied(text)
    if status == 404:
        return NotFound(text)
    if status == 429 or status >= 500:
        return RegistryUnavailable(f"{text}; try it again")
    return RegistryRefused(text)
