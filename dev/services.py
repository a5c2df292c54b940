"""The real parts that the product runs with: registry, Pub/Sub emulator, function server.

Each is a context manager over a child process. It yields when the process is ready to answer and
ends the process on the way out, also when the start or the body fails:

    with docker_registry(folder) as registry, pubsub_emulator(folder, "local") as emulator:
        settings = {"PUBSUB_EMULATOR_HOST": emulator.host}
        with function_server(Path("main.py"), settings, folder) as function:
            ...

A part that is not installed raises MissingPart, which names the command that installs it.
"""

from __future__ import annotations

import os
import random
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3
import yaml

READY_LIMIT = 120.0
STOP_LIMIT = 5.0
POLL_INTERVAL = 0.02
REPORTED_LINES = 20

SDK_FOLDERS = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "~/google-cloud-sdk",
    "/opt/google-cloud-sdk",
)


class MissingPart(Exception):
    """A part is not installed; the message names it and the command that installs it."""


class ServiceFailed(Exception):
    """A part ended early or was not ready in time; the message holds its last output."""

    def __init__(self, service: Service, reason: str) -> None:
        lines = service.output().splitlines()[-REPORTED_LINES:]
        summary = f"`{shlex.join(service.command)}` {reason}; the end of its output:"
        super().__init__("\n".join([summary, *lines]))


class Service:
    """A child process with an address and a log.

    The process leads a group of its own: its children end with it, and an interrupt from the
    keyboard reaches it only through its context manager, in order.

    Attributes:
        command: What was started.
        log: The file that receives the process's standard output and standard error.
        host: The address as "127.0.0.1:PORT"; empty until the process is ready.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        working_directory: Path | None = None,
    ) -> None:
        self.command = tuple(command)
        self.log = _new_log(directory, name)
        self.host = ""
        # Each process of the group inherits the writing end, so the reading end reports end of file
        # once the last of them has gone: also of those that are not this process's children.
        reader, writer = os.pipe()
        self._lifeline = os.fdopen(reader, "rb", buffering=0)
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=working_directory,
                    pass_fds=[writer],
                    start_new_session=True,
                )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            os.close(writer)

    @property
    def pid(self) -> int:
        """The process's id, which is also its group's."""
        return self._process.pid

    @property
    def port(self) -> int:
        """The port of the address: pass it to start the part again in the same place."""
        return int(self.host.rpartition(":")[2])

    @property
    def url(self) -> str:
        """The address with its scheme."""
        return f"http://{self.host}"

    @property
    def exit_code(self) -> int | None:
        """The status that the process ended with, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Return what the process has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Ask the process to end, and kill what is left of its group a few seconds later."""
        self._process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_LIMIT)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the process and its children, and wait until they have gone."""
        if self._lifeline.closed:
            return
        # macOS answers "not permitted" for a group of which only the unreaped leader is left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        select.select([self._lifeline], [], [], STOP_LIMIT)
        self._lifeline.close()


Readiness = Callable[[Service], str | None]
"""Tells the address of a service that is ready, None while it is not."""


@contextmanager
def docker_registry(
    directory: Path,
    port: int = 0,
    auth: Mapping[str, object] | None = None,
    tls: Mapping[str, object] | None = None,
) -> Iterator[Service]:
    """Run Docker's registry (CNCF distribution), with deletes enabled.

    Args:
        directory: Receives the configuration, the log and the data. A registry that is started
            again with the same directory still holds its images.
        port: Where to listen; 0 lets the registry choose.
        auth: That section of the registry's configuration; without it, everybody is let in.
        tls: That section, with certificate and key; without it, the registry speaks plain HTTP.

    Yields:
        The registry, ready to answer.
    """
    program = _program("docker-registry", "apt-get install docker-registry")
    command = [program, "serve", str(_registry_configuration(directory, port, auth, tls))]
    # REGISTRY_* variables override the configuration file.
    environment = {**_inherited(r"REGISTRY_.*"), "OTEL_TRACES_EXPORTER": "none"}
    service = Service("docker-registry", command, directory, environment)
    with _running(
        service, _announced(r'msg="listening on (127\.0\.0\.1:\d+)(?:, tls)?"')
    ) as registry:
        yield registry


@contextmanager
def pubsub_emulator(directory: Path, project: str, port: int = 0) -> Iterator[Service]:
    """Run Google's Pub/Sub emulator; it forgets everything when it ends.

    Args:
        directory: Receives the log.
        project: The project to start with; the emulator accepts any other as well.
        port: Where to listen; 0 chooses a free port.

    Yields:
        The emulator, ready to answer.
    """
    # The emulator takes port 0 as well, but never tells which port it was given.
    command = _emulator_command(directory, project, port or _free_port())
    service = Service("pubsub-emulator", command, directory, os.environ)
    with _running(service, _emulator_readiness(project)) as emulator:
        yield emulator


@contextmanager
def function_server(
    source: Path,
    environment: Mapping[str, str],
    directory: Path,
    port: int = 0,
    target: str = "promote",
    signature: str = "cloudevent",
) -> Iterator[Service]:
    """Run a function under the Functions Framework's production server, as Cloud Run does.

    Args:
        source: The file with the entry point, or the folder of its main.py; the server runs in
            that folder.
        environment: Added to this process's environment, of which nothing that configures the
            function or its server is passed on.
        directory: Receives the log.
        port: Where to listen; 0 lets the server choose.
        target: The entry point's name.
        signature: What it takes: "cloudevent" or "http".

    Yields:
        The server, ready to answer.
    """
    file = (source / "main.py" if source.is_dir() else source).resolve()
    function = [f"--target={target}", f"--source={file.name}", f"--signature-type={signature}"]
    address = ["--host=127.0.0.1", f"--port={port}"]
    command = [sys.executable, "-m", "functions_framework", *function, *address]
    variables = _function_environment(environment, directory)
    service = Service("function", command, directory, variables, working_directory=file.parent)
    with _running(service, _announced(r"Listening at: http://(127\.0\.0\.1:\d+) ")) as server:
        yield server


@contextmanager
def deployed_function(
    python: Path, source: Path, environment: Mapping[str, str], directory: Path
) -> Iterator[Service]:
    """Run a function as its image does: told by variables alone, FUNCTION_TARGET among them.

    Args:
        python: The interpreter, of an environment that has what the function needs.
        source: The folder of main.py, in which the server runs.
        environment: As for ``function_server``.
        directory: Receives the log.

    Yields:
        The server, ready to answer.
    """
    command = [str(python), "-m", "functions_framework", "--host=127.0.0.1", "--port=0"]
    variables = _function_environment(environment, directory)
    service = Service("function", command, directory, variables, working_directory=source)
    with _running(service, _announced(r"Listening at: http://(127\.0\.0\.1:\d+) ")) as server:
        yield server


@contextmanager
def _running(service: Service, readiness: Readiness) -> Iterator[Service]:
    """Yield a service once it is ready, and end it afterwards."""
    try:
        service.host = _address_when_ready(service, readiness)
        yield service
    finally:
        service.stop()


def _address_when_ready(service: Service, readiness: Readiness) -> str:
    """Wait until the service is ready; fail as soon as it has ended, or after the limit."""
    deadline = time.monotonic() + READY_LIMIT
    while time.monotonic() < deadline:
        if (status := service.exit_code) is not None:
            raise ServiceFailed(service, f"ended with status {status} before it was ready")
        if address := readiness(service):
            return address
        time.sleep(POLL_INTERVAL)
    raise ServiceFailed(service, f"was not ready after {READY_LIMIT:g} seconds")


def _announced(pattern: str) -> Readiness:
    """Find the address in the service's own output: nobody else can be mistaken for it."""

    def readiness(service: Service) -> str | None:
        match = re.search(pattern, service.output())
        return match.group(1) if match else None

    return readiness


def _new_log(directory: Path, name: str) -> Path:
    """Create an empty log for one start: a restart is not to be judged by old lines."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=directory)
    os.close(descriptor)
    return Path(path)


def _program(name: str, installation: str) -> str:
    """Find a program on the path."""
    if found := shutil.which(name):
        return found
    raise MissingPart(f"{name} is not installed: {installation}")


def _registry_configuration(
    directory: Path,
    port: int,
    auth: Mapping[str, object] | None,
    tls: Mapping[str, object] | None,
) -> Path:
    """Write the registry's configuration beside its data."""
    configuration = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "text", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory.resolve() / "data")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        # The secret signs the state of uploads: a fixed one lets them go on after a restart.
        "http": {
            "addr": f"127.0.0.1:{port}",
            "secret": "development",
            **({"tls": tls} if tls else {}),
        },
        **({"auth": auth} if auth else {}),
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.yml"
    path.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    return path


def _emulator_command(directory: Path, project: str, port: int) -> list[str]:
    """Start the emulator's archive directly where it is found: gcloud takes seconds longer."""
    java = _program("java", "apt-get install default-jre-headless")
    if jar := _emulator_jar():
        quick_start = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        return [java, *quick_start, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"]
    gcloud = shutil.which("gcloud")
    if not gcloud or not _has_emulator(gcloud):
        raise MissingPart(
            "the Pub/Sub emulator is not installed: gcloud components install pubsub-emulator beta"
            "  (or apt-get install google-cloud-cli-pubsub-emulator)"
        )
    place = [f"--host-port=127.0.0.1:{port}", f"--project={project}", f"--data-dir={directory}"]
    return [gcloud, "beta", "emulators", "pubsub", "start", *place]


def _emulator_jar() -> Path | None:
    """Find the emulator in the installations of the Google Cloud CLI."""
    for folder in _sdk_folders():
        for jar in folder.glob("platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"):
            return jar
    return None


def _sdk_folders() -> Iterator[Path]:
    """List where the Google Cloud CLI may be installed, the likeliest first."""
    if root := os.environ.get("CLOUDSDK_ROOT_DIR"):
        yield Path(root)
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parent.parent
    for folder in SDK_FOLDERS:
        yield Path(folder).expanduser()


def _has_emulator(gcloud: str) -> bool:
    """Ask before starting: without the component, gcloud would offer to install it."""
    query = [gcloud, "info", "--format=value(installation.components)"]
    answer = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return "pubsub-emulator=" in answer.stdout


def _emulator_readiness(project: str) -> Readiness:
    """The emulator announces itself before it answers, and outlives a failure to listen."""
    announced = _announced(r"Server started, listening on (\d+)\s")

    def readiness(service: Service) -> str | None:
        if "java.net.BindException" in service.output():
            raise ServiceFailed(service, "could not listen on its port")
        port = announced(service)
        host = f"127.0.0.1:{port}"
        answers = port and _answers(f"http://{host}/v1/projects/{project}/topics")
        return host if answers else None

    return readiness


def _answers(url: str) -> bool:
    """Whether a GET of the address succeeds."""
    with urllib3.PoolManager(retries=False, timeout=1.0) as http:
        try:
            return http.request("GET", url).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def _free_port() -> int:
    """Find a port that nobody uses, nor is given before it is listened on, seconds later."""
    while True:
        # Below those that systems give to whoever asks for any.
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _inherited(excluded: str) -> dict[str, str]:
    """This process's environment without the variables whose whole name matches."""
    return {name: text for name, text in os.environ.items() if not re.fullmatch(excluded, name)}


def _function_environment(given: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Combine this process's environment, the caller's, and what the start relies on."""
    product = "PROMOTION_.*|K_SERVICE|PUBSUB_EMULATOR_HOST"
    other_servers = "DEBUG|FUNCTION_USE_ASGI"
    return {
        **_inherited(f"{product}|{other_servers}"),
        **given,
        # At this level gunicorn announces its address.
        "GUNICORN_LOG_LEVEL": "info",
        "PYTHONUNBUFFERED": "1",
        # Here gunicorn keeps its control socket; by default all servers share one.
        "XDG_RUNTIME_DIR": str(directory.resolve()),
    }
