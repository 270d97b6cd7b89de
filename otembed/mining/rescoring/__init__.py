"""Candidates compared word by word, by optimal transport."""
