"""The two sides of a copy, and who one is on each; the identities are never mixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from promotion.errors import BadConfiguration
from promotion.registry.credentials import Credentials, FirstOf, GivenToken, TokenFor, is_token
from promotion.registry.docker_config import DockerConfig, default_path
from promotion.registry.fetch import Fetch
from promotion.registry.google import GoogleDefaultIfAny, GoogleFile


class Side(StrEnum):
    """A side, by the prefix of its environment variables."""

    SOURCE = "SOURCE"
    DESTINATION = "DEST"


def credentials_of(side: Side, environment: Mapping[str, str], fetch: Fetch) -> Credentials:
    """Where the command line finds the credentials of a side: the first that has any counts.

    For Google's registries, the file that ``…_AUTH_OVERRIDE`` names; for all, the token in
    ``…_ACCESS_TOKEN``; for Google's, the Application Default Credentials; for all, what
    ``docker login`` has left.

    Raises:
        BadConfiguration: The access token is not one.
    """
    return _first_of(side, environment, fetch, GivenToken)


def credentials_around(host: str, environment: Mapping[str, str], fetch: Fetch) -> Credentials:
    """The source's credentials, for somebody who is led on from one registry to others.

    The access token is for the first host alone: where one is led was perhaps not decided by
    whoever gave it. All other credentials say themselves which hosts they are for.

    Raises:
        BadConfiguration: The access token is not one.
    """
    return credentials_for(Side.SOURCE, [host], environment, fetch)


def credentials_for(
    side: Side, hosts: Sequence[str], environment: Mapping[str, str], fetch: Fetch
) -> Credentials:
    """The credentials of a side whose access token is for these hosts alone.

    Raises:
        BadConfiguration: The access token is not one.
    """

    def given(token: str) -> Credentials:
        return FirstOf(*(TokenFor(host, token) for host in hosts))

    return _first_of(side, environment, fetch, given)


def _first_of(
    side: Side,
    environment: Mapping[str, str],
    fetch: Fetch,
    given: Callable[[str], Credentials],
) -> Credentials:
    places: list[Credentials] = []
    if path := environment.get(f"{side}_AUTH_OVERRIDE"):
        places.append(GoogleFile(Path(path), fetch))
    if token := _access_token(f"{side}_ACCESS_TOKEN", environment):
        places.append(given(token))
    return FirstOf(*places, own_credentials(environment, fetch))


def own_credentials(environment: Mapping[str, str], fetch: Fetch) -> Credentials:
    """The credentials of whoever runs this, whom no side was given another identity for.

    For Google's registries, the Application Default Credentials; for all, what ``docker login``
    has left.
    """
    return FirstOf(GoogleDefaultIfAny(fetch), DockerConfig(default_path(environment)))


def _access_token(variable: str, environment: Mapping[str, str]) -> str:
    token = environment.get(variable, "").strip()
    if token and not is_token(token):
        raise BadConfiguration(
            f"{variable} has characters that no token has; give it what"
            " `gcloud auth print-access-token` prints, and nothing else"
        )
    return token
