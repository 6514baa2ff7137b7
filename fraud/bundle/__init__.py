"""A servable version: booster, vocabularies, calibrator, thresholds, references, manifest."""
