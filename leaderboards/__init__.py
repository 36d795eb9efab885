"""Leaderboards: verified records of runs and samples, and the tables and the page built from them."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m leaderboards.NAME`: its imports follow
    from data.missing import explain_missing

    explain_missing()
