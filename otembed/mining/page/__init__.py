"""A page for choosing a threshold by reading: scores, pairs around the threshold and of each score, with linked words."""
