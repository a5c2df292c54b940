"""Signatures: what is signed, whose word counts, and what other programs make of it."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given

from dev.services import MissingPart
from promotion.dsse import Envelope, Signature
from promotion.errors import BadConfiguration
from promotion.keys import PrivateKey, PublicKey
from promotion.pipeline import Signing
from promotion.signing import (
    KeyFileSigner,
    NotTrusted,
    TrustAll,
    TrustedKeys,
    TrustedSigner,
    Unsigned,
    signer_and_verifier,
    verifier,
)
from tests.unit.endpoint import Endpoint
from tests.unit.test_dsse import envelopes

TYPE = "application/vnd.in-toto+json"
KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()

GENERATE = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")

OpenSsl = Callable[..., bytes]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with KEY."""
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.to_pem())
    return path


@pytest.fixture
def signer(key_file: Path) -> KeyFileSigner:
    """Signs with KEY."""
    return KeyFileSigner(str(key_file))


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    """Runs OpenSSL's command in the test's directory; what it prints."""
    program = shutil.which("openssl")
    if program is None:
        raise MissingPart("openssl is not installed: apt-get install openssl")

    def run(*arguments: str) -> bytes:
        return subprocess.run(
            [program, *arguments], cwd=tmp_path, capture_output=True, check=True
        ).stdout

    return run


def unsigned(payload: bytes = b"{}") -> Envelope:
    """An envelope that nobody has signed."""
    return Envelope(TYPE, payload)


def test_the_specifications_vector_is_reproduced(tmp_path: Path) -> None:
    """Key, payload and type of DSSE's test vector give its encoding and its very signature."""
    secret = 97358161215184420915383655311931858321456579547487070936769975997791359926199
    key = PrivateKey(ec.derive_private_key(secret, ec.SECP256R1()))
    (tmp_path / "key.pem").write_bytes(key.to_pem())
    envelope = KeyFileSigner(str(tmp_path / "key.pem")).sign(
        "http://example.com/HelloWorld", b"hello world"
    )
    assert envelope.to_be_signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    r, s = utils.decode_dss_signature(envelope.signatures[0].value)
    assert base64.b64encode(r.to_bytes(32) + s.to_bytes(32)) == (
        b"A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )


def test_the_same_payload_has_the_same_bytes(signer: KeyFileSigner) -> None:
    """A statement that is signed again is the same statement, and verifies."""
    envelope = signer.sign(TYPE, b"{}")
    assert signer.sign(TYPE, b"{}").to_bundle() == envelope.to_bundle()
    assert TrustedKeys([KEY.public]).verify(envelope) == KEY.public.key_id


def test_openssl_verifies_what_is_signed_here(
    signer: KeyFileSigner, openssl: OpenSsl, tmp_path: Path
) -> None:
    """A client that shares no code with this one needs only the public key."""
    envelope = Envelope.from_bundle(signer.sign(TYPE, b'{"a": 1}').to_bundle())
    (tmp_path / "signed").write_bytes(envelope.to_be_signed)
    (tmp_path / "signature").write_bytes(envelope.signatures[0].value)
    (tmp_path / "public.pem").write_text(signer.public_key)
    arguments = ("dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed")
    assert openssl(*arguments) == b"Verified OK\n"
    (tmp_path / "signed").write_bytes(envelope.to_be_signed + b" ")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*arguments)


@pytest.mark.parametrize("options", [(), ("-noout",), ("-conv_form", "compressed")])
def test_what_openssl_signs_verifies_here(
    options: tuple[str, ...], openssl: OpenSsl, tmp_path: Path
) -> None:
    """Its keys can be used in every form that it writes them in, here and there."""
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem", *options)
    openssl("ec", "-in", "key.pem", "-pubout", "-out", "public.pem")
    (tmp_path / "signed").write_bytes(unsigned().to_be_signed)
    signature = openssl("dgst", "-sha256", "-sign", "key.pem", "signed")
    verifier = TrustedKeys([PublicKey.parse((tmp_path / "public.pem").read_bytes(), "")])
    own = KeyFileSigner(str(tmp_path / "key.pem")).sign(TYPE, b"{}")
    theirs = Envelope(TYPE, b"{}", (Signature(signature),))
    assert verifier.verify(theirs) == verifier.verify(own) == own.signatures[0].key_id


def test_the_key_id_is_the_hash_of_the_public_key(openssl: OpenSsl, key_file: Path) -> None:
    """SHA-256 over the DER form, as others compute it too."""
    openssl("pkey", "-in", str(key_file), "-pubout", "-outform", "DER", "-out", "public.der")
    assert openssl("dgst", "-sha256", "-r", "public.der").startswith(KEY.public.key_id.encode())


def test_one_good_signature_is_enough(signer: KeyFileSigner) -> None:
    """Whatever else is there, wherever it stands, and whatever it calls itself."""
    (good,) = signer.sign(TYPE, b"{}").signatures
    zeros = utils.encode_dss_signature(0, 0)
    bad = (Signature(b"", good.key_id), Signature(zeros), Signature(good.value[:-1]))
    nameless = Signature(good.value, "somebody else")
    trusted = TrustedKeys([OTHER.public, KEY.public])
    assert trusted.verify(Envelope(TYPE, b"{}", (*bad, nameless))) == KEY.public.key_id


@pytest.mark.parametrize(
    "change",
    [
        lambda good: Envelope(TYPE, b"{ }", good),
        lambda good: Envelope(f"{TYPE} ", b"{}", good),
        lambda good: Envelope(TYPE, b"{}", (Signature(good[0].value + b"\0", good[0].key_id),)),
        lambda _: Envelope(TYPE, b"{}", (Signature(OTHER.sign(unsigned().to_be_signed)),)),
        lambda _: Envelope(TYPE, b"{}", (Signature(KEY.sign(b"{}"), KEY.public.key_id),)),
        lambda _: unsigned(),
    ],
    ids=["payload", "type", "signature", "key", "without type", "none"],
)
def test_forgeries_do_not_count(
    signer: KeyFileSigner, change: Callable[[tuple[Signature, ...]], Envelope]
) -> None:
    """Another payload, another type, another key, or no signature: nothing of it is believed."""
    envelope = change(signer.sign(TYPE, b"{}").signatures)
    with pytest.raises(NotTrusted, match=r"^(it is not signed|no trusted key has signed it)"):
        TrustedKeys([KEY.public]).verify(envelope)


def test_the_reason_shows_what_an_envelope_says_of_itself() -> None:
    """Short and printable, however long and strange it is."""
    envelope = Envelope(TYPE, b"", (Signature(b"", "\x1b[2J" + "k" * 1000), Signature(b"")))
    with pytest.raises(NotTrusted, match=r"names '\\x1b\[2Jkkkk") as caught:
        TrustedKeys([KEY.public]).verify(envelope)
    assert len(str(caught.value)) < 150
    with pytest.raises(NotTrusted, match="names no key"):
        TrustedKeys([KEY.public]).verify(Envelope(TYPE, b"", (Signature(b""),)))


@given(envelopes)
def test_hostile_envelopes_are_not_trusted(envelope: Envelope) -> None:
    """Whatever stands in an envelope, it is not trusted without a signature, and nothing breaks."""
    with pytest.raises(NotTrusted):
        TrustedKeys([KEY.public, OTHER.public]).verify(envelope)


def test_without_signing_everything_counts() -> None:
    """Nothing is signed, nothing needs to be, and what is signed counts as well."""
    signer, verifier = signer_and_verifier(None, Endpoint())
    envelope = signer.sign(TYPE, b"{}")
    assert envelope == unsigned()
    assert (signer.public_key, verifier.verify(envelope)) == ("", "")
    assert Envelope.from_bundle(envelope.to_bundle()) == envelope
    assert isinstance(signer, Unsigned)
    assert isinstance(verifier, TrustAll)


def test_the_signer_is_trusted_if_nobody_is_named(key_file: Path) -> None:
    """With a key file alone, its own signatures count and no others."""
    signer, verifier = signer_and_verifier(Signing(key=str(key_file)), Endpoint())
    assert verifier.verify(signer.sign(TYPE, b"{}")) == KEY.public.key_id
    with pytest.raises(NotTrusted, match="not signed"):
        verifier.verify(unsigned())


def test_those_who_are_named_are_trusted(key_file: Path, tmp_path: Path) -> None:
    """As texts or as files, and the signer only if it is among them."""
    path = tmp_path / "other.pub.pem"
    path.write_text(OTHER.public.pem)
    for entry in (str(path), OTHER.public.pem, OTHER.public.pem.replace("\n", "\r\n")):
        signing = Signing(key=str(key_file), trusted=(entry,))
        signer, verifier = signer_and_verifier(signing, Endpoint())
        with pytest.raises(NotTrusted, match=KEY.public.key_id):
            verifier.verify(signer.sign(TYPE, b"{}"))
        signature = Signature(OTHER.sign(unsigned().to_be_signed))
        assert verifier.verify(Envelope(TYPE, b"{}", (signature,))) == OTHER.public.key_id


def test_who_only_reads_needs_no_private_key(key_file: Path) -> None:
    """Where keys are named, the signer's need not be there; where none is, its own is asked."""
    envelope = KeyFileSigner(str(key_file)).sign(TYPE, b"{}")
    absent = Signing(key="/absent/key.pem", trusted=(KEY.public.pem,))
    for signing in (absent, Signing(key=str(key_file))):
        assert verifier(signing, Endpoint()).verify(envelope) == KEY.public.key_id
    assert verifier(None, Endpoint()).verify(unsigned()) == ""


def test_a_signers_key_is_asked_for_once_and_late() -> None:
    """Not before there is something to verify, and then not again."""
    asked = []

    class Slow:
        @property
        def public_key(self) -> str:
            asked.append(1)
            return KEY.public.pem

        def sign(self, payload_type: str, payload: bytes) -> Envelope:
            return Envelope(payload_type, payload)

    trusted = TrustedSigner(Slow())
    assert not asked
    for _ in range(2):
        with pytest.raises(NotTrusted):
            trusted.verify(unsigned())
    assert len(asked) == 1


OTHER_KINDS = [
    ("genpkey", "-algorithm", "ed25519"),
    ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ("genrsa", "2048"),
]


@pytest.mark.parametrize("arguments", OTHER_KINDS)
def test_another_kind_of_key_is_an_error(
    arguments: tuple[str, ...], openssl: OpenSsl, tmp_path: Path
) -> None:
    """Whether it is to sign or to be trusted, the text says where it stands."""
    path = tmp_path / "key.pem"
    path.write_bytes(openssl(*arguments))
    with pytest.raises(BadConfiguration, match=r"^signing\.key \(.*key\.pem\) is .* another kind"):
        KeyFileSigner(str(path))
    path.write_bytes(openssl("pkey", "-in", "key.pem", "-pubout"))
    signing = Signing(kms="k", trusted=(KEY.public.pem, str(path)))
    with pytest.raises(BadConfiguration, match=r"^signing\.trusted\[1\] \(.*\) is .* another kind"):
        verifier(signing, Endpoint())


@pytest.mark.parametrize(
    "arguments", [(*GENERATE, "-aes256", "-pass", "pass:x"), ("version",), ("rand", "64")]
)
def test_what_is_no_private_key_is_an_error(
    arguments: tuple[str, ...], openssl: OpenSsl, tmp_path: Path
) -> None:
    """One with a password is none either: there is nobody to type it."""
    path = tmp_path / "key.pem"
    path.write_bytes(openssl(*arguments))
    with pytest.raises(BadConfiguration, match=r"^signing\.key \(.*\) is not an unencrypted"):
        KeyFileSigner(str(path))


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("absent.pem", r"'absent\.pem' cannot be read \(No such file"),
        ("", r"'' cannot be read \(Is a directory"),
        ("a\0b", r"'a\\x00b' cannot be read \(not a path"),
        ("x" * 300, r"'x+' cannot be read \(File name too long"),
        (KEY.to_pem().decode(), "is not a public key in PEM form"),
        (KEY.public.pem.replace("M", "!"), "is not a public key in PEM form"),
        ("MFkwEwYHKoZIzj0CAQYI\nKoZIzj0DAQcDQgAE", "is not a public key in PEM form"),
        ("-----BEGIN \ud800", "is not a public key in PEM form"),
        (KEY.public.pem + OTHER.public.pem, "is more than one key"),
    ],
)
def test_a_trusted_key_that_is_none_is_an_error(entry: str, complaint: str) -> None:
    """The text says which entry it is, and repeats no key."""
    with pytest.raises(BadConfiguration, match=rf"^signing\.trusted\[0\]:? ?{complaint}") as caught:
        verifier(Signing(kms="k", trusted=(entry,)), Endpoint())
    assert KEY.to_pem().decode().splitlines()[1] not in str(caught.value)


def test_a_key_in_place_of_its_path_is_not_repeated() -> None:
    """The private key reaches no error text."""
    with pytest.raises(BadConfiguration, match=r"^signing\.key is a key; write it to a file"):
        KeyFileSigner(KEY.to_pem().decode())
    with pytest.raises(BadConfiguration, match=r"^signing\.key: 'absent' cannot be read"):
        KeyFileSigner("absent")


def test_no_representation_shows_a_key(signer: KeyFileSigner) -> None:
    """Neither the signer nor the key says more of itself than what it is."""
    secret = KEY.to_pem().decode().splitlines()[1]
    assert all(secret not in repr(each) + str(vars(each)) for each in (signer, KEY))


def test_cryptography_is_loaded_with_the_first_key() -> None:
    """Who signs nothing does not pay for it, nor does a command that needs no key."""
    program = (
        "import sys; from promotion import cli, signing; signing.signer_and_verifier(None, None);"
        " print([name for name in sys.modules if name.startswith(('cryptography', 'google.auth'))])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout.strip() == "[]", ended.stderr
