"""The threshold of mining chosen by planted development pairs."""
