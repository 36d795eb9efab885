"""Data: read, encode and cache text and images. Imports no other package of the project, and no torch."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m data.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
