"""The Sinkhorn iteration itself: compiled loops for a CPU, batched tensors for every other device."""
