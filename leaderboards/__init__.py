"""Leaderboards: records of runs and samples, checked, and the tables and pages made from them."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m leaderboards.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
