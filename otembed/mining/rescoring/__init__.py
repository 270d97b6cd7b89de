"""Comparison of candidates word by word, by optimal transport."""
