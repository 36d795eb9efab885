"""Packages that a plain installation leaves out, and the line that says how to get one."""

import sys
from types import TracebackType

EXTRAS = {
    "torch": "train", "filelock": "train", "pandas": "train", "safetensors": "train", "tensorboard": "train",
    "matplotlib": "figures", "PIL": "images", "datasets": "hub", "fsspec": "hub", "bokeh": "leaderboards",
    "jinja2": "leaderboards", "ray": "ray", "nltk": "dev",
}  # fmt: skip
"""The extra of pyproject.toml that installs a package, by the name under which it is imported."""


def how_to_install(error: BaseException) -> str | None:
    """Return which package of an extra is missing and how to install it; None for any other error."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"{name} is not installed; pip install 'textgan[{EXTRAS[name]}]'" if name in EXTRAS else None


def explain_missing() -> None:
    """Let a missing package end this process with one line and status 2.

    A command imports its packages before `run_command` is called, so packages call this from `__init__` when Python
    runs one of their modules as a command (`python -m` sets sys.argv[0] to "-m" until it has found the module).
    """
    show = sys.excepthook

    def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if (line := how_to_install(error)) is None:
            show(kind, error, trace)
        else:
            print(f"error: {line}", file=sys.stderr)
            sys.exit(2)

    sys.excepthook = explain
