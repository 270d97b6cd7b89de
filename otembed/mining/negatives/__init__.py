"""Hard negatives of parallel text: candidates, which of them are negatives, and files for training."""
