"""Commands: flags from a dataclass, errors as one line on stderr with exit status 2."""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import tyro

from data.errors import InputError

T = TypeVar("T")

_CHOOSE_ANOTHER = "choose another folder (TEXTGAN_CACHE, --run-dir, --output)"
_REMEDIES = {
    errno.ENOSPC: f"free some space, or {_CHOOSE_ANOTHER}",
    errno.EDQUOT: f"free some space, or {_CHOOSE_ANOTHER}",
    errno.EFBIG: f"raise the file size limit, or {_CHOOSE_ANOTHER}",
    errno.EACCES: f"change its permissions, or {_CHOOSE_ANOTHER}",
    errno.EROFS: _CHOOSE_ANOTHER,
    errno.ENOTDIR: _CHOOSE_ANOTHER,
    errno.ENOENT: "check the path",
}


def parse_command(
    options: type[T], arguments: Sequence[str], prog: str, description: str | None, default: T | None = None
) -> T:
    """Parse flags into a dataclass; its fields' docstrings are the help lines.

    Raises:
        InputError: a wrong flag or value, in one line.
        SystemExit: after `--help`.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                options,
                prog=prog,
                description=description,
                args=arguments,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        # tyro explains in a box of several lines: what is wrong, a rule, then hints.
        rows = [row.strip("│ ") for row in box.getvalue().splitlines() if row.startswith("│")]
        problem = rows[: next((index for index, row in enumerate(rows) if row.startswith("──")), None)]
        raise InputError(f"{' '.join(problem)}; see python -m {prog} --help") from None


def run_command(main: Callable[[list[str]], int]) -> None:
    """Run `main(arguments)` as the process; input and file system errors become one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # samples may hold what a terminal's encoding does not
    # As SIGINT does: whatever is half done is cleaned up on the way out.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) went away; the interpreter must not try to flush stdout again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except InputError as error:
        status = _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0)
        status = _fail(f"{where}{error.strerror or error}" + (f"; {remedy}" if remedy else ""))
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch.cuda's, which this package does not import
            raise
        status = _fail("the GPU's memory is full; lower --batch-size")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
