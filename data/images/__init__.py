"""Images: sources, decoding, and data sets of images of one size."""
