"""Image metrics, and what their commands are made of."""
