"""Training on images with the trainer of `textgan`: DCGAN and WGAN-GP, scored by Fréchet distance."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m images.NAME`, which is imported next
    from data.missing import explain_missing

    explain_missing()
