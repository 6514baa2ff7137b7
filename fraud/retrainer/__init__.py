"""The retraining process: archive, triggers, cycles on Ray, the gate, promotion."""
