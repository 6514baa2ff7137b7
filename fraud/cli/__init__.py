"""The command line: `fraud init · up · serve · retrain · import · score · label · …`, one file per noun."""
