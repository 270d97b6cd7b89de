"""Mining parallel sentences: embeddings to neighbours, margins and pairs."""
