"""Generated from `proto/fraud/v1`; never edited. `make proto` writes it anew."""
