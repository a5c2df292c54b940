"""Every command as a process: what it writes to a pipe and to a terminal, and how it is ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from bench.faults import Rule, Stall
from bench.proxy import Proxy
from dev.stack import with_signals
from promotion import cli
from promotion.registry.reference import Digest
from tests.unit import processes
from tests.unit.scripted import Answer, ScriptedServer
from tests.unit.shop import Shop
from tests.unit.slow import SlowServer

COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")
HIDDEN, SHOWN_AGAIN = b"\x1b[?25l", b"\x1b[?25h"
IMAGES = ["127.0.0.1:1/a/b:1", "127.0.0.1:1/c/d:1"]
STATED = {"action": "said", "subject": "shop", "author": "me@acme.example"}


@dataclass
class Scene:
    """An image in its first stage, a promotion.yaml, a function that agrees to everything."""

    shop: Shop
    home: Path
    digest: Digest
    function: ScriptedServer

    def arguments(self, command: str) -> list[str]:
        """A command that has something to do here."""
        image = f"{self.shop.stage('fast-feedback').repository}:1.0"
        url = ["--url", f"http://{self.function.host}"]
        decision = [image, "--reason", "because", *url]
        registry, _, path = image.rpartition("/")[0].partition("/")
        more = {
            "promote": [
                "shop:1.0",
                *("--source-registry", registry, "--source-stage", path),
                *("--dest-registry", self.shop.far.host, "--dest-stage", "promoted"),
            ],
            "copy": [image, f"{self.shop.far.host}/copies/shop:1.0"],
            "publish": [image, "--suite", "functional", "--outcome", "success", *url],
            "evaluate": [image, *url],
            "status": [image, "--config", "promotion.yaml"],
            "latest": ["shop", "--stage", "fast-feedback"],
            "check": ["--online"],
            "keygen": [],
            "override": [*decision, "--gate", "soak"],
        }
        return [command, *more.get(command, decision)]


@pytest.fixture
def scene(shop: Shop, tmp_path: Path) -> Iterator[Scene]:
    """Where the commands run."""
    digest = shop.push(content=b"layer" * 1000, tag="1.0").digest
    shop.push(tag="1.0.0")
    shop.handle(shop.result(digest))
    (tmp_path / "promotion.yaml").write_text(shop.promotion_yaml + with_signals("p"))
    with ScriptedServer(Answer(200, json.dumps(STATED).encode())) as function:
        yield Scene(shop, tmp_path, digest, function)


@pytest.mark.parametrize("command", cli.MODULES)
def test_what_is_piped_is_text_alone(scene: Scene, command: str) -> None:
    """No escape sequences, nothing on standard error, and each line as long as it is."""
    ended = processes.piped(scene.arguments(command), scene.home)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("\n")
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize("command", [each for each in cli.MODULES if each != "keygen"])
def test_json_is_one_object(scene: Scene, command: str) -> None:
    """On a terminal, too, where progress goes to standard error."""
    ended = processes.piped([*scene.arguments(command), "--json"], scene.home)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert isinstance(json.loads(ended.stdout), dict)
    assert ended.stdout.count("\n") == 1


def test_a_copy_loads_only_what_it_needs(scene: Scene) -> None:
    """What is for Google, for terminals and for promotion.yaml would take most of its time."""
    program = (
        "import os, sys; from promotion import cli; cli.main(sys.argv[1:], os.environ);"
        " print(*sys.modules)"
    )
    command = [processes.COMMAND[0], "-c", program, *scene.arguments("copy")]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=processes.environment(scene.home), check=True
    )
    loaded = set(ended.stdout.splitlines()[-1].split())
    assert "urllib3" in loaded
    unneeded = {
        "google.auth",
        "requests",
        "rich",
        "yaml",
        "cryptography",
        "grpc",
        "semver",
        "flask",
    }
    assert not loaded & unneeded


@pytest.mark.parametrize("command", ["status", "check"])
def test_a_terminal_has_colours_unless_they_are_not_wanted(scene: Scene, command: str) -> None:
    """NO_COLOR leaves the words."""
    with processes.terminal(scene.arguments(command), scene.home) as terminal:
        coloured = terminal.end()
    with processes.terminal(scene.arguments(command), scene.home, NO_COLOR="1") as terminal:
        plain = terminal.end()
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    for word in (b"fast-feedback", b"extended-test"):
        assert word in coloured
        assert word in plain


@pytest.mark.parametrize("no_color", [{}, {"NO_COLOR": "1"}])
def test_a_copy_shows_its_progress_on_a_terminal(scene: Scene, no_color: dict[str, str]) -> None:
    """A line for each blob, while it travels; then the summary, and the cursor is there again."""
    with processes.terminal(scene.arguments("copy"), scene.home, **no_color) as terminal:
        shown = terminal.end()
    assert terminal.process.returncode == 0
    layers = scene.shop.stage("fast-feedback").manifest(scene.digest).content
    for blob in re.findall(rb"sha256:([0-9a-f]{12})", layers):
        assert blob in shown.partition(b"copied ")[0]
    assert 0 <= shown.find(HIDDEN) < shown.rfind(SHOWN_AGAIN)
    assert bool(COLOUR.search(shown)) is not bool(no_color)


def test_the_log_of_requests_stands_above_the_progress(scene: Scene) -> None:
    """Each line is whole, also where a terminal shows how far a copy is."""
    with processes.terminal(
        ["-v", *scene.arguments("copy")], scene.home, COLUMNS="400"
    ) as terminal:
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", terminal.end()).decode()
    logged = re.findall(r"\d\d:\d\d:\d\d DEBUG   [A-Z]+ http://\S+ \d{3} \d+ ms", text)
    assert logged
    assert len(logged) == text.count(" DEBUG ")


def test_no_password_is_logged_however_much_is_logged(scene: Scene) -> None:
    """With everything turned on, what docker login has left stays where it is."""
    folder = scene.home / "docker"
    folder.mkdir()
    hosts = (scene.shop.near.host, scene.shop.far.host)
    entry = {"username": "ann", "password": "pass-word-1"}
    (folder / "config.json").write_text(json.dumps({"auths": dict.fromkeys(hosts, entry)}))
    more = {"DOCKER_CONFIG": str(folder), "LOG_LEVEL": "DEBUG"}
    ended = processes.piped(["copy", "-v", *scene.arguments("copy")[1:]], scene.home, **more)
    assert ended.returncode == 0
    assert " DEBUG   GET http://" in ended.stderr
    assert "pass-word-1" not in ended.stderr
    assert "Authorization" not in ended.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads_any_more(scene: Scene, unbuffered: str) -> None:
    """As with `| head`: the command ends quietly, with the exit code that shells give for it."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [*processes.COMMAND, *scene.arguments("status")],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=processes.environment(scene.home, PYTHONUNBUFFERED=unbuffered),
        cwd=scene.home,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "missing.yaml"],
        ["check", "/"],
        ["latest", "shop", "--stage", "prod", "--config", "missing.yaml"],
        ["status", "registry.example/shop:1", "--config", "missing.yaml"],
        ["keygen", "--out", "/dev/null/key"],
        ["copy", "registry.example/a:1", "Registry.example/b:1"],
        ["hold", "registry.example/a:1", "--reason", "x", "--url", "ftp://a"],
    ],
)
def test_what_can_go_wrong_has_no_traceback(arguments: list[str], tmp_path: Path) -> None:
    """But a line that says what it is, and exit code 1."""
    ended = processes.piped(arguments, tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("promotion: ")
    assert ended.stderr.count("\n") == 1


def test_a_terminal_without_arrows_is_no_error(scene: Scene) -> None:
    """What cannot be shown is replaced."""
    ended = processes.piped(
        [*scene.arguments("status"), "--explain"], scene.home, PYTHONIOENCODING="ascii"
    )
    assert ended.returncode == 0
    assert "fast-feedback ? extended-test" in ended.stdout


def test_an_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    """Also while every thread waits for a registry that is silent: exit code 130, and a line."""
    asked = Event()

    def silent(connection: object, closing: Event) -> None:  # noqa: ARG001
        asked.set()
        closing.wait()

    with SlowServer(silent) as server:
        process = subprocess.Popen(
            [*processes.COMMAND, "copy", f"{server.host}/a/b:1", f"{server.host}/c/d:1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=processes.environment(tmp_path),
        )
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"promotion: interrupted\n")
        assert process.returncode == 130


INTERRUPTED_AT_A_NAME = """
import os, signal, socket, threading
from promotion import cli

def interrupt():
    signal.raise_signal(signal.SIGINT)

class HalfMade:
    def __init__(self):
        interrupt()
    def __del__(self):
        self.made

class Deleted:
    def __del__(self):
        interrupt()

def in_a_constructor():
    HalfMade()

def in_a_deletion():
    Deleted()

def in_a_clean_up():
    try:
        interrupt()
    finally:
        1 / 0

def interrupted(*_, **__):
    if threading.current_thread() is not threading.main_thread():
        {elsewhere}
    try:
        {place}()
    finally:
        interrupt()
    raise OSError

def write(number, text):
    written(number, text)
    if text:
        os.write = written
        signal.raise_signal(signal.SIGALRM)

written, os.write = os.write, write
socket.getaddrinfo = interrupted
cli.run()
"""
"""Interrupts when it looks for a host, and once more; time is up when it has said so."""


@pytest.mark.parametrize("place", ["in_a_constructor", "in_a_deletion", "in_a_clean_up"])
@pytest.mark.parametrize("elsewhere", ["raise OSError", "threading.Event().wait()"])
def test_an_interrupt_at_any_place_is_one_line(tmp_path: Path, place: str, elsewhere: str) -> None:
    """Whatever error becomes of it, and if a thread never ends what it waits for."""
    script = INTERRUPTED_AT_A_NAME.format(place=place, elsewhere=elsewhere)
    ended = subprocess.run(
        [sys.executable, "-c", script, "copy", *IMAGES],
        capture_output=True,
        env=processes.environment(tmp_path),
    )
    assert (ended.stdout, ended.stderr) == (b"", b"promotion: interrupted\n")
    assert ended.returncode == 130


def test_an_interrupt_in_the_middle_of_a_blob_gives_the_cursor_back(
    scene: Scene,
) -> None:
    """The terminal is left as it was."""
    source = scene.shop.stage("fast-feedback").repository
    with Proxy(source.host) as proxy:
        proxy.inject(Rule(Stall(60, after=1), path="/blobs/", times=None))
        image = f"{proxy.host}/{source.path}:1.0"
        target = f"{scene.shop.far.host}/copies/shop:1.0"
        with processes.terminal(["copy", image, target], scene.home) as terminal:
            terminal.read_until(b"0/")
            terminal.process.send_signal(signal.SIGINT)
            shown = terminal.end()
    assert terminal.process.returncode == 130
    assert shown.rstrip().endswith(b"promotion: interrupted")
    assert shown.rfind(HIDDEN) < shown.rfind(SHOWN_AGAIN)
    assert b"Traceback" not in shown


def test_a_topic_without_credentials_says_where_to_get_them(tmp_path: Path) -> None:
    """And nothing of rights, which nobody has looked at."""
    request = ["evaluate", "--all", "--topic", "projects/acme/topics/signals"]
    ended = processes.piped(request, tmp_path, NO_GCE_CHECK="true")
    assert ended.returncode == 1
    assert "there are no credentials; run `gcloud auth application-default login`" in ended.stderr
    assert "roles/" not in ended.stderr
