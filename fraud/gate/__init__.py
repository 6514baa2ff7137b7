"""The champion-challenger gate: evidence in, a verdict with reasons out. No I/O, no clock."""
