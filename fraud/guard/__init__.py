"""Judges the data before every training run, with a reason for each finding."""
