"""Packages that may be absent: optional ones, with how to install them, and textgan itself."""

import sys
from types import TracebackType

EXTRAS = {
    "torch": "train", "filelock": "train", "pandas": "train", "safetensors": "train", "tensorboard": "train",
    "matplotlib": "figures", "PIL": "images", "datasets": "hub", "fsspec": "hub", "bokeh": "leaderboards",
    "jinja2": "leaderboards", "ray": "ray", "sentencepiece": "train", "nltk": "dev",
}  # fmt: skip
"""The extra of pyproject.toml that installs a package, by import name."""


def how_to_install(error: BaseException) -> str | None:
    """Return a message with the missing package and how to install it; None if no extra installs it."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return f"{name} is not installed; pip install 'textgan[{EXTRAS[name]}]'" if name in EXTRAS else None


def textgan_version() -> str:
    """Return the version of textgan; "not installed" for a checkout that is on Python's path alone."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version("textgan")
    except PackageNotFoundError:
        return "not installed"


def explain_missing() -> None:
    """End this process with one line and status 2 if a package is missing.

    A command imports packages before `run_command` is called, so `__init__` calls this when Python runs a module of
    its package as a command (`python -m` sets sys.argv[0] to "-m" until it has found the module).
    """
    show = sys.excepthook

    def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if (line := how_to_install(error)) is None:
            show(kind, error, trace)
        else:
            print(f"error: {line}", file=sys.stderr)
            sys.exit(2)

    sys.excepthook = explain
