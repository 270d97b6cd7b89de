"""Inspection of the installation, and a self-test."""
