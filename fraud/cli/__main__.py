"""Lets `python -m fraud.cli` be the same as `fraud`."""

from fraud.cli.main import main

main()
