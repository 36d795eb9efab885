"""The theory of two time-scales as commands without neural networks: each claim has a figure, a table and a test."""
