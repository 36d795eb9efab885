"""Evaluators: score samples against real text or images. Imports only `data`; text metrics run without torch."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m eval.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
