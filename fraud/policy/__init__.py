"""From a calibrated score to an outcome, and the share let through to learn from."""
