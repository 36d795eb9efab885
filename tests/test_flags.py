"""Every flag of every command, frozen: a flag that is added, renamed or lost must be seen in the diff of `flags.txt`.

To accept a change: `python -m tests.test_flags > tests/flags.txt`.
"""

import contextlib
import io
import re
import sys
from importlib import import_module
from pathlib import Path

from textgan.__main__ import COMMANDS
from textgan.theory.__main__ import EXPERIMENTS

FROZEN = Path(__file__).with_name("flags.txt")
SUBCOMMANDS = {
    "eval.bench": ("encoding", "images", "scale", "text"),
    "eval.disturb": ("text",),
    "eval.fid": ("stats",),
    "eval.ngrams": ("build", "merge"),
    "images.suite": ("controls",),
    "leaderboards.submit": ("--rescore=TASK",),
    "textgan.suite": ("controls",),
    "textgan.theory.__main__": tuple(EXPERIMENTS),
    "textgan.train": (
        "--preset=cot-words-ttur",
        "--preset=dpgan-words-ttur",
        "--preset=mle",
        "--preset=relgan-words-ttur",
        "--preset=rnn-wgan-chars-ttur",
        "--preset=scratchgan-words-ttur",
        "--preset=seqgan-words-ttur",
    ),
}


def flags_of(module: str, *subcommand: str) -> list[str]:
    """Return the flags of a command as `--help` names them, sorted."""
    shown, argv = io.StringIO(), sys.argv
    sys.argv = [module]
    try:
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            import_module(module).main([*subcommand, "--help"])
    finally:
        sys.argv = argv
    return sorted(set(re.findall(r"^. (?:-h, )?(--[a-z][\w-]*)", shown.getvalue(), re.MULTILINE)))


def all_flags() -> list[str]:
    """Return a line per flag of each command and subcommand."""
    subcommands = [(module, name) for module, names in SUBCOMMANDS.items() for name in names]
    commands = sorted({*((module,) for module, _ in COMMANDS.values()), *subcommands})
    return [" ".join((*command, flag)) for command in commands for flag in flags_of(*command)]


def test_no_flag_changes_unseen() -> None:
    assert all_flags() == FROZEN.read_text("utf-8").splitlines()


if __name__ == "__main__":
    print("\n".join(all_flags()))
