"""The training engine; independent of text, images and networks."""
