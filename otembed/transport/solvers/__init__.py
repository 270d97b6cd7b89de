"""One method per file. Each fills the fields of a plan; the frame prepares, judges and attaches gradients."""
