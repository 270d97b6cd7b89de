"""Margins of candidates, and pairs from them."""
