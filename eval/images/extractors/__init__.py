"""Feature extractors of images: Inception, random convolutions, and a function of the user's own."""
