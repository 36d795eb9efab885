"""Character GANs trained with two time scales: the trainer, the networks, the runs."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m textgan.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
