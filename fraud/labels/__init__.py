"""Which label is known at T: precedence, batches, maturity."""
