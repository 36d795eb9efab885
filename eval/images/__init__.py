"""Image metrics: features, distances, image sets and disturbances."""
