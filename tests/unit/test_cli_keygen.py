"""``promotion keygen``: a key pair that signs, and that nobody else can read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from promotion import cli, configuration
from promotion.dsse import Envelope
from promotion.signing import signer_and_verifier
from tests.unit.endpoint import Endpoint

ROOT = Path(__file__).parent.parent.parent
PIPELINE = """\
pipelines:
  shop:
    stages:
      fast-feedback:
        registry: europe-west2-docker.pkg.dev/acme-dev/tenant/shop
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keygen(*arguments: str) -> int:
    """Run the command; its exit code."""
    return cli.main(["keygen", *arguments], {})


def test_what_it_prints_is_all_that_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the pipelines of a promotion.yaml it makes statements signed, and trusted."""
    assert keygen("--out", "acme key") == 0
    printed = capsys.readouterr().out
    pipelines = configuration.parse("promotion.yaml", PIPELINE + printed)
    signer, verifier = signer_and_verifier(pipelines.signing, Endpoint())
    envelope = Envelope.from_bundle(signer.sign("text/plain", b"payload").to_bundle())
    assert verifier.verify(envelope) == envelope.signatures[0].key_id
    assert Path("acme key.pub.pem").read_text() == signer.public_key


def test_it_says_what_a_key_in_a_file_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    """And what to use elsewhere; the private key itself is not printed."""
    assert keygen() == 0
    printed = capsys.readouterr().out
    assert "for tests and small installations" in printed
    assert "--default-algorithm ec-sign-p256-sha256" in printed
    assert Path("promotion.pem").read_text().splitlines()[1] not in printed


def test_nobody_else_can_read_the_private_key() -> None:
    """Whatever the process lets others read otherwise."""
    before = os.umask(0)
    try:
        assert keygen() == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("promotion.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("promotion.pub.pem").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["promotion.pem", "promotion.pub.pem"])
@pytest.mark.parametrize("target", ["mine", "absent"])
def test_nothing_is_overwritten(
    name: str, target: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever of the two is there, nothing is written, nor through a link that leads nowhere."""
    (directory / "mine").write_text("mine")
    (directory / name).symlink_to(target)
    assert keygen() == 1
    assert capsys.readouterr().err == (
        f"promotion: {name} exists already, and is not overwritten; give another --out\n"
    )
    assert {path.name for path in directory.iterdir()} == {"mine", name}
    assert (directory / "mine").read_text() == "mine"


def test_a_folder_that_is_not_there_is_made(directory: Path) -> None:
    """With those above it, as the help's example takes for granted."""
    assert keygen("--out", "keys/acme/shop") == 0
    assert keygen("--out", "keys/acme/cart") == 0
    made = [path.name for path in (directory / "keys" / "acme").iterdir()]
    assert sorted(made) == ["cart.pem", "cart.pub.pem", "shop.pem", "shop.pub.pem"]


def test_a_place_that_cannot_be_written_is_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named, with the reason."""
    (directory / "file").touch()
    assert keygen("--out", "file/key") == 1
    assert capsys.readouterr().err == (
        "promotion: file/key.pem cannot be written (Not a directory); give another --out\n"
    )


def test_pairs_differ(directory: Path) -> None:
    """Each run makes a new key."""
    assert keygen("--out", "a") == keygen("--out", "b") == 0
    assert len({path.read_text() for path in directory.iterdir()}) == 4


def test_the_command_line_does_not_wait_for_it() -> None:
    """What it needs is loaded when it runs."""
    program = (
        "import sys; from promotion.commands import keygen;"
        " print([name for name in sys.modules if name in ('cryptography', 'msgspec', 'yaml')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.stdout.strip() == "[]", ended.stderr
