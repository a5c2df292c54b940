"""Google's identities: whose token goes to Google's registries, and to no other."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from promotion.deadline import Deadline, keeping
from promotion.errors import AccessDenied, DeadlineExceeded, RegistryUnavailable
from promotion.registry.credentials import Token
from promotion.registry.fetch import Answer
from promotion.registry.google import GoogleDefault, GoogleDefaultIfAny, GoogleFile, is_google
from tests.unit.endpoint import Asked, Endpoint, answer

HOST = "europe-west2-docker.pkg.dev"
ACCOUNT = "promoter@acme.iam.gserviceaccount.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
METADATA = "http://169.254.169.254"

Files = Callable[[object], Path]


@cache
def private_key() -> str:
    """A key that was made for this run."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def service_account() -> dict[str, str]:
    """What stands in the key file of a service account."""
    return {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": private_key(),
        "private_key_id": "1",
        "project_id": "acme",
        "token_uri": TOKEN_URI,
    }


USER = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "client-secret",
    "refresh_token": "refresh-secret",
}


def external_account(subject: Path) -> dict[str, object]:
    """What stands in the file of a workload that another identity provider vouches for."""
    provider = "projects/1/locations/global/workloadIdentityPools/ci/providers/ci"
    return {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{provider}",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(subject)},
    }


def google(asked: Asked) -> Answer:
    """Google's answers: its token services, and the metadata server of Cloud Run."""
    if asked.address.startswith(METADATA):
        return answer(200, Metadata_Flavor="Google")
    if asked.address.startswith("http://metadata.google.internal"):
        content = {
            "email": ACCOUNT,
            "scopes": [],
            "access_token": "of metadata",
            "expires_in": 3599,
        }
        return answer(200, content, Content_Type="application/json")
    kind = "urn:ietf:params:oauth:token-type:access_token"
    content = {"token_type": kind, "issued_token_type": kind, "expires_in": 3599}
    return answer(200, {**content, "access_token": f"of {asked.address}"})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without credentials."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Writes files of JSON."""

    def write(content: object) -> Path:
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "host", ["gcr.io", "eu.gcr.io", HOST, "docker.pkg.dev", "us-docker.pkg.dev"]
)
def test_googles_hosts_are_known(host: str) -> None:
    """Artifact Registry's and Container Registry's hosts are Google's."""
    assert is_google(host)


@pytest.mark.parametrize(
    "host",
    ["pkg.dev.evil.example", "evilgcr.io", "gcr.io.example", "gcr.io:443", "docker.io", "xpkg.dev"],
)
def test_nobody_else_sees_a_google_token(host: str) -> None:
    """Any other host gets nothing, and nothing is asked for or even read on its behalf."""
    endpoint = Endpoint(google)
    for identity in (GoogleDefault(endpoint), GoogleFile(Path("absent.json"), endpoint)):
        identity.renew(host)
        assert identity.find(host) is None
    assert not endpoint.asked


def test_a_service_account_is_used(files: Files) -> None:
    """The key signs for the account, and the token for it is kept."""
    endpoint = Endpoint(google)
    identity = GoogleFile(files(service_account()), endpoint)
    assert identity.find(HOST) == identity.find("gcr.io") == Token(f"of {TOKEN_URI}")
    (asked,) = endpoint.asked
    (assertion,) = asked.form["assertion"]
    claims = json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))
    assert (claims["iss"], claims["scope"]) == (ACCOUNT, SCOPE)


def test_a_users_login_is_used(files: Files) -> None:
    """What `gcloud auth application-default login` writes is good for a token."""
    endpoint = Endpoint(google)
    assert GoogleFile(files(USER), endpoint).find(HOST) == Token(f"of {TOKEN_URI}")
    assert endpoint.asked[0].form["refresh_token"] == ["refresh-secret"]


def test_an_external_account_is_used(files: Files, tmp_path: Path) -> None:
    """The other provider's token is exchanged, and nothing else is asked."""
    subject = tmp_path / "subject"
    subject.write_text("a token of the CI system", encoding="utf-8")
    endpoint = Endpoint(google)
    identity = GoogleFile(files(external_account(subject)), endpoint)
    assert identity.find(HOST) == Token("of https://sts.googleapis.com/v1/token")
    (asked,) = endpoint.asked
    assert asked.form["subject_token"] == ["a token of the CI system"]
    assert asked.form["scope"] == [SCOPE]


def test_an_impersonated_account_is_used(files: Files) -> None:
    """A login that stands in for a service account gets that account's token."""
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}"
    content = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"{url}:generateAccessToken",
        "source_credentials": USER,
    }
    impersonated = {"accessToken": "impersonated", "expireTime": "2999-01-01T00:00:00Z"}
    endpoint = Endpoint(
        lambda asked: answer(200, impersonated) if "iam" in asked.url else google(asked)
    )
    assert GoogleFile(files(content), endpoint).find(HOST) == Token("impersonated")


def test_credentials_say_whose_they_are(files: Files, tmp_path: Path) -> None:
    """By an e-mail address: of a service account, of a login that names one, of a function."""
    endpoint = Endpoint(google)
    user = {**USER, "account": "ann@acme.example"}
    assert GoogleFile(files(service_account()), endpoint).account(HOST) == ACCOUNT
    assert GoogleFile(files(user), endpoint).account(HOST) == "ann@acme.example"
    assert GoogleDefault(Endpoint(google)).account(HOST) == ACCOUNT
    subject = tmp_path / "subject"
    subject.write_text("a token of the CI system", encoding="utf-8")
    nameless = [USER, external_account(subject)]
    assert [GoogleFile(files(each), endpoint).account(HOST) for each in nameless] == ["", ""]
    assert GoogleFile(tmp_path / "absent", endpoint).account("registry.example") == ""


def test_the_default_is_a_file_that_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """GOOGLE_APPLICATION_CREDENTIALS is honoured."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(files(service_account())))
    assert GoogleDefault(Endpoint(google)).find(HOST) == Token(f"of {TOKEN_URI}")


def test_the_default_on_cloud_run_is_the_functions_account() -> None:
    """Without a file the metadata server gives the token."""
    endpoint = Endpoint(google)
    assert GoogleDefault(endpoint).find(HOST) == Token("of metadata")
    assert all("Authorization" not in asked.headers for asked in endpoint.asked)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A machine that is not Google's, and the searches for credentials on it."""
    searches: list[object] = []
    monkeypatch.setattr(
        "google.auth.compute_engine._metadata.is_on_gce", lambda request: searches.append(request)
    )
    return searches


def test_a_function_has_to_have_an_identity(searches: list[object]) -> None:
    """Without credentials it is told what to do, and looked for again with the next request."""
    identity = GoogleDefault(Endpoint(google))
    for _ in range(2):
        with pytest.raises(AccessDenied, match=r"not found.*give the function a service account"):
            identity.find(HOST)
    assert len(searches) == 2


def test_a_command_may_come_anonymously(searches: list[object]) -> None:
    """Without credentials it has nothing to show, until something is refused."""
    identity = GoogleDefaultIfAny(Endpoint(google))
    assert identity.find(HOST) is None
    assert identity.find("gcr.io") is None
    assert len(searches) == 1
    identity.renew(HOST)
    assert identity.find(HOST) is None
    assert len(searches) == 2


def test_a_named_file_that_is_absent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a file does not want to come anonymously."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/absent.json")
    with pytest.raises(AccessDenied, match=r"/absent\.json was not found.*gcloud auth"):
        GoogleDefaultIfAny(Endpoint(google)).find(HOST)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([], "the file is not complete"),
        ({}, "has the type None, not one of service_account"),
        ({"type": "gdch"}, "has the type 'gdch', not one of service_account"),
        ({"type": "service_account"}, "missing fields"),
        ({"type": "authorized_user"}, "missing"),
        ({"type": "external_account"}, "credentials.json"),
        ({"type": "external_account", "credential_source": 1}, "not complete"),
        ({"type": "impersonated_service_account"}, "not complete"),
        ({**service_account(), "private_key": "hidden"}, "credentials.json"),
    ],
)
def test_a_file_that_is_no_credential_is_an_error(
    files: Files, content: object, fault: str
) -> None:
    """The error names the file and what is wrong with it."""
    with pytest.raises(AccessDenied, match=fault) as caught:
        GoogleFile(files(content), Endpoint(google)).find(HOST)
    assert "credentials.json" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_absent_or_not_json_is_an_error(tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "credentials.json"
    with pytest.raises(AccessDenied, match=r"No such file.*credentials\.json"):
        GoogleFile(path, Endpoint(google)).find(HOST)
    path.write_text("secret", encoding="utf-8")
    with pytest.raises(
        AccessDenied, match=r"check the credential file .*credentials\.json"
    ) as caught:
        GoogleFile(path, Endpoint(google)).find(HOST)
    assert "secret" not in str(caught.value)


def test_a_refused_credential_is_an_error(files: Files) -> None:
    """What Google says is repeated, the credential is not."""
    refusal = {"error": "invalid_grant", "error_description": "Token has been revoked."}
    with pytest.raises(AccessDenied, match=r"Token has been revoked; check the cred") as caught:
        GoogleFile(files(USER), Endpoint(lambda _: answer(400, refusal))).find(HOST)
    assert "secret" not in str(caught.value)


def test_google_out_of_reach_is_tried_again_later(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer says nothing about the credential."""
    monkeypatch.setattr("time.sleep", lambda _: None)

    def silent(_: Asked) -> Answer:
        raise RegistryUnavailable("no answer from oauth2.googleapis.com")

    for reply in (silent, lambda _: answer(503, {"error": "unavailable"})):
        with pytest.raises(RegistryUnavailable, match="will be tried again"):
            GoogleFile(files(USER), Endpoint(reply)).find(HOST)


def test_a_token_is_renewed_when_it_has_ended(files: Files) -> None:
    """A token whose end is near is replaced before it is shown."""
    numbers = iter(range(9))
    endpoint = Endpoint(
        lambda _: answer(200, {"access_token": str(next(numbers)), "expires_in": 100})
    )
    identity = GoogleFile(files(USER), endpoint)
    assert [identity.find(HOST), identity.find(HOST)] == [Token("0"), Token("1")]


def test_a_refused_token_is_renewed(files: Files) -> None:
    """After a renewal the file is read again: it may have been replaced."""
    identity = GoogleFile(files(service_account()), Endpoint(google))
    assert identity.find(HOST) == Token(f"of {TOKEN_URI}")
    files(service_account() | {"token_uri": "https://oauth2.googleapis.com/other"})
    assert identity.find(HOST) == Token(f"of {TOKEN_URI}")
    identity.renew(HOST)
    assert identity.find(HOST) == Token("of https://oauth2.googleapis.com/other")


def test_threads_share_one_token(files: Files) -> None:
    """However many threads begin at once, one token is asked for."""
    endpoint = Endpoint(google)
    identity = GoogleFile(files(USER), endpoint)
    with ThreadPoolExecutor(16) as executor:
        found = set(executor.map(identity.find, [HOST] * 64))
    assert found == {Token(f"of {TOKEN_URI}")}
    assert len(endpoint.asked) == 1


def test_nobody_waits_beyond_their_deadline_for_a_token(files: Files) -> None:
    """What another one asks Google for, and takes long, is given up when there is no more time."""
    asked, goes_on = threading.Event(), threading.Event()

    def slow(request: Asked) -> Answer:
        asked.set()
        assert goes_on.wait(60)
        return google(request)

    identity = GoogleFile(files(USER), Endpoint(slow))
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(identity.find, HOST)
        assert asked.wait(60)
        with keeping(Deadline.after(0.05)), pytest.raises(DeadlineExceeded):
            identity.find(HOST)
        assert not first.done()
        goes_on.set()
    assert first.result() == Token(f"of {TOKEN_URI}")


def test_google_auth_is_loaded_when_a_token_is_wanted() -> None:
    """Who speaks to other registries does not pay for it, and a cold start not before it must."""
    program = (
        "import sys; from promotion.registry.auth import RegistryAuthenticator;"
        " from promotion.registry.google import GoogleDefault;"
        " RegistryAuthenticator(GoogleDefault(None), None).authorization('a.example', []);"
        " print([name for name in sys.modules if name.startswith(('google.auth', 'urllib3'))])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout.strip() == "[]", ended.stderr
