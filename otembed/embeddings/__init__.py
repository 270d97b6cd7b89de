"""Text to vectors: encoding, fingerprints, shards on disk, vector files."""
