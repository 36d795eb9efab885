"""The theory of two time-scales as commands on small games: each claim has a figure, a table and a test."""
