"""The scoring process: wire → features → model → policy → log → reply."""
