"""Images: sources, decoding, and data sets of one size."""
