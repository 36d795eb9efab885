"""Text metrics, and the code shared by their commands."""
