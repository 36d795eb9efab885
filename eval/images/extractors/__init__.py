"""Feature extractors of images: Inception, EfficientNet, DINOv2, random convolutions, and the user's function."""
