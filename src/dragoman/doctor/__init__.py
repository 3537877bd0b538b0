"""The data doctor: what is wrong with a corpus, told before anyone spends an hour training on it."""
