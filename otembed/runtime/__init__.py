"""Where and how work runs: cache folder, progress, executors, run folders and locks, package versions."""
