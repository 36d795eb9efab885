"""Corpora: reading, encoding and caching of training text. Imports nothing else of the project, and no torch."""

__version__ = "0.1.0"
