"""Fraud detection that retrains itself: scores, labels, retraining, gate, rollback."""

__version__ = "0.1.0"
