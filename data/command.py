"""Commands: flags from a dataclass, errors as one line on stderr with exit status 2."""

import contextlib
import difflib
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from data.errors import InputError, note, require_numbers
from data.missing import how_to_install
from data.naming import printable
from data.renamed import current_arguments
from data.signals import STOP_SIGNALS, leave_terminal, silence

if TYPE_CHECKING:  # runs train without tyro if no command line is parsed
    from tyro import _errors as flag_errors
    from tyro._arguments import ArgumentDefinition

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
_LESS = "lower a flag that sets sizes: --batch-size, --dim, --seq-len, --size, --lines, --count"
_NO_MEMORY = re.compile("allocate memory|enough memory|Storage size|array is too big|allowed (dimension|size) exceeded")


def parse_command(
    options: type[T], arguments: Sequence[str], prog: str, description: str | None, default: T | None = None
) -> T:
    """Parse flags into a dataclass; its fields' docstrings are the help lines.

    Args:
        options: the dataclass.
        arguments: the words after the command's name. `~/` at the start of a value is the home folder.
        prog: the command's module, and its subcommand if it has one: "eval.fid stats".
        description: for `--help`.
        default: an instance whose values are the flags' defaults.

    Raises:
        InputError: a flag or value is wrong or empty; the message is one line.
        SystemExit: after `--help`.
    """
    import tyro
    from tyro import _errors as flag_errors  # private: pyproject.toml bounds tyro's version

    command = as_typed(prog)
    arguments = current_arguments(prog, arguments)
    parse = partial(
        tyro.cli,
        options,
        prog=command,
        description=description,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )

    def known_words() -> list[str]:
        """Return the command's flags and subcommands, read from its `--help`."""
        shown = io.StringIO()
        subcommand = takewhile(lambda word: not word.startswith("-"), arguments[:1])
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit, InputError):
            parse(description=prog, args=[*subcommand, "--help"])
        return re.findall(r"--[a-z][\w-]*|(?<=[{,])[\w-]+(?=[},])", shown.getvalue())

    def refuse(event: "flag_errors.ParseErrorEvent") -> None:
        """Raise the error as one line; tyro prints kinds of errors unknown here in a box."""
        if problem := _problem(event, arguments, known_words):
            raise InputError(f"{problem}; see {command} --help")

    _require_values(arguments)
    with flag_errors.on_parse_error(refuse):
        parsed: T = parse(args=[expand_home(argument) for argument in arguments])
    require_numbers(parsed)
    return parsed


def as_typed(prog: str) -> str:
    """Return the command as the user types it: `python -m eval.jsd`, or `textgan jsd` with the console command."""
    _, *subcommand = prog.split()
    return " ".join([sys.argv[0], *subcommand]) if sys.argv[0].startswith("textgan ") else f"python -m {prog}"


def _require_values(arguments: Sequence[str]) -> None:
    """Refuse empty arguments; most come from unset shell variables.

    Raises:
        InputError: an argument is empty; names the flag, or the argument's number.
    """
    flag = None
    for number, argument in enumerate(arguments, start=1):
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            argument = value if equals else argument
        if not argument.strip():
            place = f"{flag}: its value" if flag else f"argument {number}"
            raise InputError(f"{place} is empty; is a shell variable unset?")


def expand_home(argument: str) -> str:
    """Return an argument with `~/` at the start of its value replaced by the home folder."""
    match = re.match(r"(--[\w-]+=)?(~/.*)$", argument, re.DOTALL)
    return (match[1] or "") + os.path.expanduser(match[2]) if match else argument  # noqa: PTH111 - keeps the rest as typed


def _problem(
    event: "flag_errors.ParseErrorEvent", arguments: Sequence[str], known_words: Callable[[], Sequence[str]]
) -> str | None:
    """Return the message for a parse error of tyro; None for an event of a newer tyro."""
    from tyro import _errors as flag_errors

    match event:
        case flag_errors.MissingArgs():
            names = [_named(context.arg) for context in event.missing_arguments]
            problem = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"
            unknown = event.unrecognized_tokens
            return f"{_unknown(unknown, known_words())}; {problem}" if unknown else problem
        case flag_errors.UnrecognizedArgs():
            return _unknown(event.tokens, known_words())
        case flag_errors.MissingSubcommand():
            return f"Expected one of {{{', '.join(event.subcommand_spec.parser_from_name)}}}"
        case flag_errors.InvalidChoice():
            choices = sorted(set(event.choices) - {"None"})  # the default, which nobody types
            return f"{event.argument.display_name()} {event.value!r}: choose from {', '.join(choices)}"
        case flag_errors.BadValue() if event.argument.is_positional():
            # A flag stands in the argument's place, perhaps a misspelt one.
            flags = [word.partition("=")[0] for word in arguments if word.startswith("-")]
            known = known_words()
            unknown = [flag for flag in flags if flag.replace("_", "-") not in known]
            problem = f"{_named(event.argument)} is missing"
            return f"{_unknown(unknown, known)}; {problem}" if unknown else problem
        case flag_errors.BadValue():
            return f"{event.argument.display_name()}: a value is missing ({_expected(event.argument)})"
        case flag_errors.InstantiationFailure() if event.argument:
            # If a flag takes several types, the last line has the reason why the value is not of the last type.
            reason = event.message.splitlines()[-1].rpartition(">: ")[2]
            return f"{event.argument.display_name()}: {reason} (expected {_expected(event.argument)})"
    return None


def _named(argument: "ArgumentDefinition") -> str:
    name = argument.display_name()
    return f"{name} ({_expected(argument)})" if argument.is_positional() else name


def _expected(argument: "ArgumentDefinition") -> str:
    return re.sub(r"\{None\}\||None,", "", str(argument.lowered.metavar))


def _unknown(words: Sequence[str], known: Sequence[str]) -> str:
    wrong = [word.partition("=")[0] for word in words if word.startswith("-")] or words
    if set(wrong) & set(known):
        return f"unrecognised {', '.join(wrong)} before the subcommand"
    similar = {near: None for word in wrong for near in difflib.get_close_matches(word, known, 2)}
    hint = f" (did you mean {' or '.join(similar)}?)" if similar else ""
    return f"unrecognised {', '.join(wrong)}{hint}"


def run_command(main: Callable[[list[str]], int]) -> None:
    """Run `main(arguments)` as the process; errors a user can act on become one line and status 2."""
    _prepare_streams()
    for number in STOP_SIGNALS[1:]:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _stop)
    status: str | int | None
    try:
        try:
            status = main(sys.argv[1:])
        except SystemExit as stop:
            status = stop.code
        sys.stdout.flush()
    except InputError as error:
        status = _fail(str(error))
    except OSError as error:
        status = _fail_of_system(error)
    except ModuleNotFoundError as error:
        if (line := how_to_install(error)) is None:
            raise
        status = _fail(line)
    except UnicodeEncodeError as error:
        # Bytes of a name that are not UTF-8 are surrogates in Python; the name may be inside JSON.
        if (name := re.search('[^"\\n]*[\ud800-\udfff][^"\\n]*', error.object)) is None:
            raise
        status = _fail(f"{name[0]}: a name that is not UTF-8; rename it")
    except OverflowError as error:
        status = _fail(f"a number is too large ({error}); lower it")
    except RecursionError:
        status = _fail("a file is nested too deeply to be read")
    except (MemoryError, RuntimeError, ValueError) as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch.cuda's, which this package does not import
            status = _fail("the GPU's memory is full; lower --batch-size")
        elif isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            needed = re.search(r"allocate (\d[\d.]* \w+)", str(error))
            status = _fail(f"not enough memory{f' for {needed[1]}' if needed else ''}; {_LESS}")
        else:
            raise
    except KeyboardInterrupt:
        status = _fail("interrupted", 130)
    _abandon_broken_streams()
    sys.exit(status)


def run_moved(old: str, new: str, *arguments: str) -> None:
    """Run `main` of the module `new` with `arguments` before the user's, after a note that it was called `old`."""

    def main(given: list[str]) -> int:
        note(f"{old} is now {' '.join((new.removesuffix('.__main__'), *arguments))}")
        status: int = import_module(new).main([*arguments, *given])
        return status

    run_command(main)


def _stop(number: int, _frame: FrameType | None) -> None:
    # As with SIGINT, unfinished files are cleaned up on the way out.
    leave_terminal(number)
    sys.exit(128 + number)


def _prepare_streams() -> None:
    # If a stream is closed, the next file that is opened would take its descriptor.
    if sys.stdin is None:  # stays None, which tells readers that it is closed
        os.open(os.devnull, os.O_RDONLY)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # samples may hold characters that the encoding lacks


def _abandon_broken_streams() -> list[str]:
    """Silence output streams that cannot be written, as the interpreter flushes them at exit; return their names."""
    broken = []
    for stream, name in ((sys.stdout, "standard output"), (sys.stderr, "standard error")):
        try:
            stream.flush()
            os.write(stream.fileno(), b"")  # an unbuffered stream has nothing left to flush
        except io.UnsupportedOperation:
            continue  # not a file
        except OSError:
            broken.append(name)
            silence(stream.fileno())
    return broken


def _fail_of_system(error: OSError) -> int:
    broken = _abandon_broken_streams()
    if isinstance(error, BrokenPipeError) or (broken and error.errno == errno.EIO):
        return 0  # the reader (`| head`) went away, or the terminal was closed
    remedy = None if broken else _REMEDIES.get(error.errno or 0)
    where = error.filename or (broken[0] if broken else None)
    if where is None and isinstance(error, FileNotFoundError):
        where, remedy = "the working folder", "it was deleted; change to another"
    reason = error.strerror or str(error)
    return _fail((f"{where}: " if where else "") + reason + (f"; {remedy}" if remedy else ""))


def _fail(message: str, status: int = 2) -> int:
    prefix = "error: " if status == 2 else ""
    with contextlib.suppress(OSError):
        print(f"{prefix}{printable(message)}", file=sys.stderr)
    return status
