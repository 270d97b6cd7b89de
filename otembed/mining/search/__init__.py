"""Neighbors of both sides, exactly or by an index."""
