"""`promotion promote` and P2P's make targets, as processes, on real registries and a real topic."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev import images
from dev.pubsub import PubSub
from dev.services import Service, docker_registry
from dev.stack import ROOT, signed, three_stages
from promotion.evidence.by_hand import PREDICATE_TYPE
from promotion.evidence.store import EvidenceStore
from promotion.messages import Outcome, TestResult
from promotion.registry.client import RepositoryClient
from promotion.registry.reference import Digest, Reference, Repository
from promotion.registry.transport import Transport
from promotion.signing import TrustAll, Unsigned
from tests.integration.busybox import Busybox, raw_manifest
from tests.integration.token_service import TokenService, User
from tests.topics import RecordedTopic
from tests.unit.promoting import now, promoter

PROMOTION = (sys.executable, "-m", "promotion")
VERSION = "1.4.2"


@dataclass
class Team:
    """A team whose images are in the stages of a registry path of its own.

    Attributes:
        place: The registry with that path.
        folder: Where its processes run.
    """

    place: str
    transport: Transport
    folder: Path

    def repository(self, stage: str, name: str) -> RepositoryClient:
        """An image's repository in a stage."""
        place = Repository.parse(f"{self.place}/{stage}/{name}")
        scopes = (f"repository:{place.path}:pull,push",)
        return RepositoryClient(place, self.transport, scopes=scopes)

    def push(self, *names: str) -> list[Digest]:
        """Push images to fast-feedback."""
        return [
            images.push_image(
                self.repository("fast-feedback", name), [name.encode() * 50_000], tag=VERSION
            ).digest
            for name in names
        ]

    def named(self, stage: str, name: str) -> Digest | None:
        """What an image's version names in a stage."""
        return self.repository(stage, name).resolve(VERSION)

    def environment(self, **more: str) -> dict[str, str]:
        """What a pipeline sets, and nothing that this machine's user has."""
        kept = {name: os.environ[name] for name in ("PATH",)}
        return {**kept, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), **more}

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a process in the team's folder."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
        )

    def promote(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command, from fast-feedback to extended-test unless something else is said."""
        stages = {"SOURCE_STAGE": "fast-feedback", "DEST_STAGE": "extended-test"}
        places = {"SOURCE_REGISTRY": self.place, "REGISTRY": self.place}
        return self.run(*PROMOTION, "promote", *arguments, **stages, **places, **environment)

    def make(self, target: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run one of P2P's targets from a copy of the file; exit code, output and errors."""
        shutil.copy(ROOT / "p2p.mk", self.folder / "Makefile")
        command = ["make", target, f"PROMOTION={' '.join(PROMOTION)}", *arguments]
        done = self.run(*command, **environment)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def team(registry: Service, name: str, transport: Transport, tmp_path: Path) -> Team:
    """A team."""
    return Team(f"{registry.host}/{name}", transport, tmp_path)


def test_a_real_image_is_promoted_by_digest(team: Team, busybox: Busybox) -> None:
    """An index keeps its bytes; the last line says the digest and where it is."""
    source = f"{team.place}/fast-feedback/busybox:{VERSION}"
    digest = busybox.push(source, "OCI index")
    done = team.promote(f"busybox:{VERSION}")
    there = f"{team.place}/extended-test/busybox:{VERSION}"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"promoted busybox:{VERSION}: {digest} is now at {there}"
    assert raw_manifest(there) == raw_manifest(source)
    again = team.promote(f"busybox:{VERSION}")
    assert again.returncode == 0
    assert f"{there}@{digest} is there already" in again.stdout


def test_one_of_two_is_missing(team: Team) -> None:
    """One line says which; the other one is not tagged."""
    team.push("shop")
    done = team.promote(f"shop:{VERSION}", f"db:{VERSION}", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    missing = f"{team.place}/fast-feedback/db:{VERSION}"
    assert done.stderr == f"promotion: {missing} does not exist; check the name and the tag\n"
    assert team.named("extended-test", "shop") is None


def test_access_is_validated_before_anything_is_copied(
    transport: Transport, tmp_path: Path
) -> None:
    """Who may not push is told so at once; the destination's token is shown there, and nowhere."""
    both = frozenset({"pull", "push"})
    paths = ("shop/fast-feedback/shop", "shop/extended-test/shop")
    anybody = User(rights={paths[0]: both, paths[1]: frozenset({"pull"})})
    pusher = User("ya29.push", rights=dict.fromkeys(paths, both))
    users = {"": anybody, "oauth2accesstoken": pusher}
    with (
        TokenService(tmp_path, users) as tokens,
        docker_registry(tmp_path / "registry", auth=tokens.registry_auth) as registry,
    ):
        team = Team(f"{registry.host}/shop", transport, tmp_path)
        (digest,) = team.push("shop")
        refused = team.promote(f"shop:{VERSION}")
        assert (refused.returncode, "copying" in refused.stdout) == (1, False)
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"promotion: Could not open an upload in {registry.host}/{paths[1]}")
        done = team.promote(f"shop:{VERSION}", DEST_ACCESS_TOKEN="ya29.push")
        assert done.returncode == 0, done.stderr
        assert team.named("extended-test", "shop") == digest
        assert "ya29" not in done.stdout + done.stderr


def on_terminal(team: Team, to: str) -> str:
    """What a person sees on a terminal while an image goes to another registry."""
    master, slave = pty.openpty()
    environment = team.environment(
        TERM="xterm", SOURCE_REGISTRY=team.place, SOURCE_STAGE="fast-feedback"
    )
    flags = ["--dest-registry", to, "--dest-stage", "prod"]
    process = subprocess.Popen(
        [*PROMOTION, "promote", f"shop:{VERSION}", *flags],
        cwd=team.folder,
        env=environment,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # How a terminal ends whose last process has gone.
        while piece := os.read(master, 65536):
            shown += piece
    os.close(master)
    assert process.wait() == 0
    return shown.decode()


def test_a_terminal_shows_progress_and_a_pipe_none(team: Team, prod_registry: Service) -> None:
    """The bars are a terminal's alone; the steps are shown to both."""
    (digest,) = team.push("shop")
    there = f"{prod_registry.host}/{team.place.partition('/')[2]}"
    shown = on_terminal(team, f"{there}-seen")
    assert "━" in shown
    assert "\x1b[" in shown
    flags = ["--dest-registry", there, "--dest-stage", "prod"]
    piped = team.promote(f"shop:{VERSION}", *flags)
    assert (piped.returncode, piped.stderr) == (0, "")
    for text in (shown, piped.stdout):
        for step in ("validating:", "resolving", "copying shop", "tagging", f"{digest} is now at"):
            assert step in text
    assert "\x1b[" not in piped.stdout
    assert "━" not in piped.stdout


def test_a_record_by_hand_is_signed_and_says_by_whom(team: Team) -> None:
    """With the promotion.yaml in the folder, and the key that it names."""
    text = three_stages(team.place.partition("/")[0])
    text = text.replace(f"{team.place.partition('/')[0]}/shop", team.place)
    (team.folder / "promotion.yaml").write_text(text + signed(team.folder))
    (digest,) = team.push("shop")
    done = team.promote(f"shop:{VERSION}", "--json", LOGNAME="ann")
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)["images"]
    evidence = EvidenceStore(Unsigned(), TrustAll()).read(
        digest, [team.repository("extended-test", "shop")]
    )
    (by_hand,) = evidence.by_hand
    assert by_hand.basis.statement == found["record"]
    assert by_hand.said.author.name.startswith("ann@")
    annotations = json.loads(by_hand.manifest.content)["annotations"]
    assert annotations["dev.sigstore.bundle.predicateType"] == PREDICATE_TYPE


def test_the_gate_and_the_event(team: Team, pubsub: PubSub) -> None:
    """It refuses while a suite is missing; then it promotes, and the event is on the topic."""
    host = team.place.partition("/")[0]
    text = three_stages(host).replace(f"{host}/shop", team.place)
    (team.folder / "promotion.yaml").write_text(text)
    (digest,) = team.push("shop")
    topic = pubsub.create_topic("events")
    pubsub.create_subscription("events", "events")
    emulator = {"PROMOTION_EVENTS_TOPIC": topic, "PUBSUB_EMULATOR_HOST": pubsub.host}
    waits = team.promote(f"shop:{VERSION}", "--gate", "--event", **emulator)
    assert waits.returncode == 1
    assert "WAIT    suite-missing" in waits.stdout
    assert waits.stderr.startswith(f"promotion: shop:{VERSION} is not promoted: WAIT: ")
    image = Reference(team.repository("fast-feedback", "shop").repository, VERSION)
    passed = TestResult(image, digest, "functional", Outcome.SUCCESS, now(), now())
    observing = text.replace("  shop:\n", "  shop:\n    mode: observe\n", 1)
    promoter(observing, team.transport, RecordedTopic()).handle(passed)
    done = team.promote(f"shop:{VERSION}", "--gate", "--event", **emulator)
    assert (done.returncode, done.stderr) == (0, "")
    (event,) = pubsub.pull("events")
    assert json.loads(event.data)["digest"] == digest
    assert event.attributes["to_stage"] == "extended-test"
    assert team.named("extended-test", "shop") == digest


def variables(team: Team, **more: str) -> Mapping[str, str]:
    """What P2P's workflow sets before it runs a target."""
    return {"SOURCE_REGISTRY": team.place, "REGISTRY": team.place, "P2P_VERSION": VERSION, **more}


def test_make_promotes_to_extended_test_and_to_prod(team: Team, busybox: Busybox) -> None:
    """A real image, by P2P's variables; its paths may have other names."""
    digest = busybox.push(f"{team.place}/ff/busybox:{VERSION}")
    paths = {"FAST_FEEDBACK_PATH": "ff", "P2P_REGISTRY_PROD_PATH": "live", "PROD_PATH": "no"}
    given = variables(team, P2P_IMAGE_NAMES="busybox", **paths)
    assert team.make("p2p-promote-to-extended-test", **given)[0] == 0
    assert team.named("extended-test", "busybox") == digest
    assert team.make("p2p-promote-to-prod", **given)[0] == 0
    assert team.named("live", "busybox") == digest


def test_make_promotes_several_images_or_none(team: Team) -> None:
    """With one of two missing it fails, and nothing is tagged; with both there, both are."""
    (shop,) = team.push("shop")
    given = variables(team, P2P_IMAGE_NAMES="shop db")
    code, _, errors = team.make("p2p-promote-to-extended-test", **given)
    assert code == 2
    assert f"{team.place}/fast-feedback/db:{VERSION} does not exist" in errors
    assert team.named("extended-test", "shop") is None
    (db,) = team.push("db")
    assert team.make("p2p-promote-to-extended-test", **given)[0] == 0
    assert [team.named("extended-test", name) for name in ("shop", "db")] == [shop, db]


def test_a_makefile_may_set_what_the_generic_target_promotes(team: Team) -> None:
    """As teams do for one image of several, by variables of their own targets."""
    (digest,) = team.push("shop")
    (team.folder / "p2p.mk").write_bytes((ROOT / "p2p.mk").read_bytes())
    makefile = """\
include p2p.mk
everything: ; @echo the default goal
promote-shop: image_name = shop
promote-shop: image_tag = $(P2P_VERSION)
promote-shop: source_repo_path = fast-feedback
promote-shop: dest_repo_path = extended-test
promote-shop: p2p-promote-generic
"""
    (team.folder / "own.mk").write_text(makefile)
    make = ["make", "-f", "own.mk", f"PROMOTION={' '.join(PROMOTION)}"]
    assert team.run(*make).stdout == "the default goal\n"
    done = team.run(*make, "promote-shop", P2P_VERSION=VERSION, P2P_REGISTRY=team.place)
    assert done.returncode == 0, done.stderr
    assert team.named("extended-test", "shop") == digest


def test_make_shows_what_would_run_and_no_token(team: Team) -> None:
    """Tokens and credential files are found in the environment, never on a command line."""
    secrets = {"SOURCE_ACCESS_TOKEN": "ya29.source", "DEST_ACCESS_TOKEN": "ya29.dest"}
    given = variables(team, P2P_IMAGE_NAMES="shop db", **secrets)
    code, shown, _ = team.make("p2p-promote-to-prod", "-n", "PROMOTION_FLAGS=--gate", **given)
    assert code == 0
    assert " ".join(shown.replace("\\\n", " ").split()) == (
        f"{' '.join(PROMOTION)} promote --gate shop:{VERSION} db:{VERSION}"
        f' --source-registry "{team.place}" --source-stage "extended-test"'
        f' --dest-registry "{team.place}" --dest-stage "prod"'
    )


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"REGISTRY": "", "P2P_REGISTRY": ""}, "needs REGISTRY or P2P_REGISTRY"),
        ({"P2P_VERSION": ""}, "needs P2P_VERSION"),
        ({"P2P_IMAGE_NAMES": ""}, "needs P2P_IMAGE_NAMES"),
    ],
)
def test_make_says_what_is_missing(team: Team, given: dict[str, str], complaint: str) -> None:
    """A variable that is not set ends it before anything runs."""
    environment = {**variables(team, P2P_IMAGE_NAMES="shop"), **given}
    code, shown, errors = team.make("p2p-promote-to-extended-test", **environment)
    assert (code, shown) == (2, "")
    assert f"p2p-promote-to-extended-test {complaint}" in errors
