"""Mining parallel sentences: lines to embeddings, neighbours in both directions, margins and pairs."""
