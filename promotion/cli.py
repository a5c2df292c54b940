"""The command line. Exit codes: 0 done, 1 refused or failed, 2 usage, 3 still waiting.

What ends it from outside has the exit codes of shells: 130 after Ctrl-C, 141 when whoever reads its
output has gone.
"""

from __future__ import annotations

import argparse
import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

from promotion import __version__, log
from promotion.deadline import NEVER, Cancellation, current, keeping
from promotion.errors import BadConfiguration, PromotionError, Several
from promotion.readable import readable

INTERRUPTED = 130
NOBODY_READS = 141

MODULES = {
    "promote": "promote",
    "copy": "copy",
    "publish": "publish",
    "evaluate": "evaluate",
    "status": "status",
    "latest": "latest",
    "check": "check",
    "keygen": "keygen",
    "approve": "control",
    "override": "control",
    "hold": "control",
    "release": "control",
    "revoke": "control",
    "advance": "control",
}
"""Each command, and the module in promotion/commands that adds it: only those asked for are loaded.

To start is a good part of the time that a copy takes.
"""

_OBJECTS_BEFORE_COLLECTION = 50_000
_SECONDS_TO_END = 1.0
_STANDARD_ERROR = 2
_SHOW_CURSOR = b"\x1b[?25h"
_VERBOSE = ("-v", "--verbose")
_EPILOG = """\
examples:
  promotion promote shop:1.4.2 --source-registry europe-docker.pkg.dev/acme-dev/shop \\
    --source-stage fast-feedback --dest-registry europe-docker.pkg.dev/acme-prod/shop \\
    --dest-stage prod
  promotion copy europe-docker.pkg.dev/acme/dev/shop:1.4.2 \\
    europe-docker.pkg.dev/acme/prod/shop:1.4.2
  promotion publish europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2 \\
    --suite functional --outcome success
  promotion status europe-west2-docker.pkg.dev/acme/shop/fast-feedback/shop:1.4.2
  promotion latest shop --stage prod
  promotion -v check --online

`promotion COMMAND --help` shows what a command takes, with examples.

exit codes: 0 done; 1 refused or failed, standard error says why; 2 usage; 3 still waiting (status
--exit-code, publish --wait); 130 interrupted
"""


def run() -> None:
    """Run the command that the process's arguments name, and exit."""
    # A command is over before much of what it makes is garbage; to look for some again and again
    # while modules are loaded takes a twentieth of a copy's time.
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    work = Cancellation()
    try:
        signal.signal(signal.SIGINT, partial(_interrupt, work))
        with keeping(NEVER.unless(work)):
            code = _run()
        if not work.is_called:
            # All is done and written. To take the interpreter down, thread by thread, would be a
            # seventh of a copy's time.
            os._exit(code)
    except BaseException:
        # In the middle of a clean-up an interrupt becomes whatever error that ends in.
        if not work.is_called:
            raise
    # Nobody waits for what threads are still at.
    _end()


def _run() -> int:
    """Run the command, and see to it that what it has printed is read."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show an arrow is no reason to say nothing.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _code()
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
    except BrokenPipeError:
        return NOBODY_READS
    except OSError as error:
        return _failed(_explained(error))
    return code


def _code() -> int:
    try:
        return main(sys.argv[1:], os.environ)
    except SystemExit as ended:
        # argparse has said what there is to say.
        return int(ended.code or 0)


def _interrupt(work: Cancellation, *_: object) -> None:
    """End the work in order, or at any rate: this may come where a lock stays locked for ever."""
    # What is left half made may fail when it is deleted, which is nobody's error.
    sys.unraisablehook = lambda _: None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _end)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS_TO_END)
    work.call()
    raise KeyboardInterrupt


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    with suppress(OSError):
        # Not with print, in the middle of which this may come.
        os.write(_STANDARD_ERROR, _SHOW_CURSOR if os.isatty(_STANDARD_ERROR) else b"")
        os.write(_STANDARD_ERROR, b"promotion: interrupted\n")
    os._exit(INTERRUPTED)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code."""
    options = parser(arguments).parse_args(arguments)
    try:
        _configure_log(environment.get("LOG_LEVEL") or "WARNING", options.verbose)
        return options.command(options, environment) or 0
    except BrokenPipeError:
        raise
    except Several as several:
        return _failed(*map(str, several.errors))
    except PromotionError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(_explained(error))


def _explained(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _failed(*reasons: str) -> int:
    # Python drops an interrupt where an object is deleted; what work then ends in is no news.
    if current().left > 0:
        for why in reasons:
            print(f"promotion: {readable(why)}", file=sys.stderr)
    return 1


def _configure_log(level: str, verbose: bool) -> None:
    try:
        log.configure(log.ReadableFormatter(), level)
    except ValueError as error:
        raise BadConfiguration(f"LOG_LEVEL is none: {error}; write DEBUG, INFO or such") from error
    # What it has to say about a machine without Google credentials is said by the command itself.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    logging.getLogger(log.REQUESTS).setLevel(logging.DEBUG if verbose else logging.NOTSET)


class _Help(argparse.HelpFormatter):
    """Wraps what is one paragraph, and leaves examples as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    """A parser of the command line, or of one of its commands.

    Every one of them takes --verbose, and none takes half an option: a script that relied on that
    would break when another option begins alike.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "formatter_class": _Help, "allow_abbrev": False})
        # A command's parser is not to undo what was said before the command: it has no default.
        self.add_argument(
            *_VERBOSE,
            action="store_true",
            default=argparse.SUPPRESS,
            help="log each HTTP request on standard error",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Read arguments; what a command does not know is its own error, with its own usage."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where it stands what is right."""
        super().error(f"{message}; see `{self.prog} --help`")


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments: of the command that they name, else of all."""
    parser = _Parser(
        prog="promotion",
        description="Moves a tested container image to the next stage.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"promotion {__version__}")
    parser.set_defaults(verbose=False)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _modules(arguments):
        import_module(f"promotion.commands.{module}").add(subparsers)
    return parser


def _modules(arguments: Sequence[str]) -> Iterable[str]:
    named = next((each for each in arguments if each not in _VERBOSE), "")
    return [MODULES[named]] if named in MODULES else dict.fromkeys(MODULES.values())
