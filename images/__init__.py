"""The trainer of `textgan` on images: DCGAN and WGAN-GP, scored by Fréchet distance."""
