"""Leaderboards: records of runs and samples, checked, and the tables and pages made from them."""
