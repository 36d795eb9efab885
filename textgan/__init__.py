"""Train character GANs with two time scales: commands, training engine, models, many runs."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m textgan.NAME`; its imports come next
    from data.missing import explain_missing

    explain_missing()
