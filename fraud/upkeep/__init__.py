"""Looks after a data folder: formats and their migration, backup, restore."""
