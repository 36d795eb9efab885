"""Evaluators: scores of samples against real text. Imports `data`; the text metrics start without torch."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m eval.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
