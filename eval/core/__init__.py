"""Code shared by text and image metrics."""
