"""Scores of whole lines: by sentence features, and by a language model of another text."""
