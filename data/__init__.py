"""Corpora: reading, encoding and caching of training text. Imports nothing else of the project, and no torch."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m data.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()


def __getattr__(name: str) -> str:
    """Return the installed version as `__version__`."""
    if name == "__version__":
        from importlib.metadata import version

        return version("textgan")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
