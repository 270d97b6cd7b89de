"""Execution of work: cache folder, progress, executors, run folders and locks, package versions."""
