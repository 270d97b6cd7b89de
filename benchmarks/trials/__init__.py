"""Trials that break things on purpose; ``reliability.py`` runs them. One kind of fault a file."""
