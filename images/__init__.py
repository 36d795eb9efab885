"""The trainer of `textgan` on images: DCGAN and WGAN-GP, scored by Fréchet distance."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m images.NAME`, whose imports come next
    from data.missing import explain_missing

    explain_missing()
