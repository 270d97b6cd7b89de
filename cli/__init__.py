"""The ``otembed`` command: parses and prints; the work is done in :mod:`otembed`."""
