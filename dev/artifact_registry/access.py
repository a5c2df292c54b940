"""Who may do what: access tokens, the roles granted to them, and /v2/token.

A token is sent as `Authorization: Bearer TOKEN` with the first request, or shown to /v2/token as
the password of `oauth2accesstoken`, for another token.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from werkzeug.wrappers import Request, Response

from dev.artifact_registry.answers import Answers
from dev.artifact_registry.refusal import Refusal
from dev.distribution import json_response

Role = Literal["reader", "writer", "repoAdmin"]
Grants = Mapping[str, Role]
"""Roles of one identity, by PROJECT or PROJECT/REPOSITORY."""

DOWNLOAD = "artifactregistry.repositories.downloadArtifacts"

_UPLOAD = "artifactregistry.repositories.uploadArtifacts"
_DELETE = "artifactregistry.repositories.deleteArtifacts"
_PERMISSIONS: dict[Role, frozenset[str]] = {
    "reader": frozenset({DOWNLOAD}),
    "writer": frozenset({DOWNLOAD, _UPLOAD}),
    "repoAdmin": frozenset({DOWNLOAD, _UPLOAD, _DELETE}),
}
_NEEDED = {"GET": DOWNLOAD, "HEAD": DOWNLOAD, "DELETE": _DELETE}
_ACTIONS = {"pull": DOWNLOAD, "push": _UPLOAD, "delete": _DELETE}
_USERNAMES = {"oauth2accesstoken", "_token"}
_SCOPE = re.compile(r"repository:(.+):([a-z,*]+)")
_SECONDS = 12 * 60 * 60


@dataclass(frozen=True)
class _Identity:
    """Who sends a request.

    Attributes:
        issued: It is known by a token of /v2/token.
        anonymous: That token was issued to somebody without credentials.
        scopes: What the token is good for, as pairs of a repository and a permission; None if it
            is good for whatever its owner may do.
    """

    grants: Grants
    issued: bool = False
    anonymous: bool = False
    scopes: frozenset[tuple[str, str]] | None = None

    def may(self, permission: str, name: str) -> bool:
        project, repository = _resource(name)
        roles = (self.grants.get(project), self.grants.get(f"{project}/{repository}"))
        return any(permission in _PERMISSIONS[role] for role in roles if role)


@dataclass(frozen=True)
class _Issued:
    access_token: str | None
    scopes: frozenset[tuple[str, str]]


class Access:
    """Decides on every request below /v2/."""

    def __init__(self, tokens: Mapping[str, Grants], location: str, answers: Answers) -> None:
        self._tokens = dict(tokens)
        self._location = location
        self._answers = answers
        self._issued: dict[str, _Issued] = {}

    def accept(self, token: str, grants: Grants) -> None:
        """Accept an access token from now on."""
        self._tokens[token] = grants

    def expire(self, token: str) -> None:
        """Accept a token no longer, nor those that were issued for it."""
        self._tokens.pop(token, None)
        self._issued.pop(token, None)

    def admit(self, request: Request, name: str) -> None:
        """Refuse a request whose sender is unknown, or may not do this in the repository.

        Without a name the request is about the registry itself, where any identity will do.
        """
        identity = self._identity(request)
        if identity is None:
            raise self._stranger(request, name)
        if not name:
            return
        permission = _NEEDED.get(request.method, _UPLOAD)
        if permission == _UPLOAD and not (identity.issued or self._answers.bearer_token_writes):
            raise self._challenge(request, name)
        if identity.scopes is not None and (name, permission) not in identity.scopes:
            raise self._challenge(request, name)
        if not identity.may(permission, name):
            raise self._denial(identity, permission, name)

    def may_read(self, request: Request, name: str) -> bool:
        """Tell whether the sender may read a repository."""
        identity = self._identity(request)
        if identity is None or not identity.may(DOWNLOAD, name):
            return False
        return identity.scopes is None or (name, DOWNLOAD) in identity.scopes

    def unreadable(self, name: str) -> Refusal:
        """Say that the sender may not read a repository."""
        return self._denial(_Identity({}), DOWNLOAD, name)

    def issue(self, request: Request) -> Response:
        """Answer on /v2/token: a token for whoever may do all that the scopes say."""
        access_token = self._shown(request)
        identity = self._owner(access_token)
        scopes = _scopes(request)
        for name, permission in sorted(scopes):
            if not identity.may(permission, name):
                raise self._denial(identity, permission, name)
        token = secrets.token_urlsafe()
        self._issued[token] = _Issued(access_token, scopes)
        return json_response({"token": token, "expires_in": _SECONDS})

    def _shown(self, request: Request) -> str | None:
        """The access token that is shown as a password; None if nothing is shown."""
        if "Authorization" not in request.headers:
            return None
        basic = request.authorization
        if basic is None or basic.type != "basic" or basic.username not in _USERNAMES:
            raise Refusal(401, "UNAUTHORIZED", "authentication failed")
        if basic.password not in self._tokens:
            raise Refusal(401, "UNAUTHORIZED", "authentication failed")
        return basic.password

    def _identity(self, request: Request) -> _Identity | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        if token in self._tokens:
            return _Identity(self._tokens[token])
        issued = self._issued.get(token)
        if issued is None:
            return None
        if issued.access_token is not None and issued.access_token not in self._tokens:
            return None
        scopes = issued.scopes if self._answers.issued_token_has_scopes else None
        return self._owner(issued.access_token, scopes)

    def _owner(
        self, access_token: str | None, scopes: frozenset[tuple[str, str]] | None = None
    ) -> _Identity:
        """Who got a token of /v2/token for this access token, or for none."""
        if access_token is None:
            return _Identity({}, issued=True, anonymous=True, scopes=scopes)
        return _Identity(self._tokens.get(access_token, {}), issued=True, scopes=scopes)

    def _stranger(self, request: Request, name: str) -> Refusal:
        if "Authorization" in request.headers and not self._answers.unknown_token_is_challenged:
            return Refusal(401, "UNAUTHORIZED", "No valid credential was supplied.")
        return self._challenge(request, name)

    def _challenge(self, request: Request, name: str) -> Refusal:
        challenge = f'Bearer realm="{request.scheme}://{request.host}/v2/token"'
        if name:
            actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
            challenge += f',service="{request.host}",scope="repository:{name}:{actions}"'
        message = "not authenticated: No valid credential was supplied."
        return Refusal(401, "UNAUTHORIZED", message, {"WWW-Authenticate": challenge})

    def _denial(self, identity: _Identity, permission: str, name: str) -> Refusal:
        project, repository = _resource(name)
        resource = f"projects/{project}/locations/{self._location}/repositories/{repository}"
        refused = f'Permission "{permission}" denied'
        if identity.anonymous:
            unauthenticated = "Unauthenticated request. Unauthenticated requests do not have"
            refused = f'{unauthenticated} permission "{permission}"'
        return Refusal(403, "DENIED", f'{refused} on resource "{resource}" (or it may not exist)')


def _resource(name: str) -> tuple[str, str]:
    """The project and the repository in the name of an image."""
    project, _, rest = name.partition("/")
    return project, rest.partition("/")[0]


def _scopes(request: Request) -> frozenset[tuple[str, str]]:
    texts = " ".join(request.args.getlist("scope")).split()
    matches = filter(None, (_SCOPE.fullmatch(text) for text in texts))
    return frozenset(
        (match[1], _ACTIONS[action])
        for match in matches
        for action in match[2].split(",")
        if action in _ACTIONS
    )
