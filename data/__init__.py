"""Data: read, encode and cache text and images. Imports no other package of the project, and no torch."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m data.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
<<<<<<< HEAD
=======


def __getattr__(name: str) -> str:
    """Return textgan's installed version for `__version__`."""
    if name == "__version__":
        from importlib.metadata import version

        return version("textgan")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
>>>>>>> h-data
