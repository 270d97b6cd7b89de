"""Choice of the mining threshold from planted development pairs."""
