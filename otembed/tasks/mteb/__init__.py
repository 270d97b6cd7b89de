"""MTEB: its tasks run on a model, and results of otembed's own tasks in its form; requires ``otembed[mteb]``."""
