"""Evaluators: scores of samples against real text. Imports `data`; the text metrics start without torch."""
