"""A configuration as `fraud init` writes it, with ports of its own."""

from pathlib import Path

from fraud.adversary.stage import free_port
from fraud.cli.main import run


def made_config(folder: Path, *, monitored: bool) -> Path:
    """Write it; without `monitored` neither scorer nor retrainer shows metrics."""
    path = folder / "fraud.toml"
    assert run(["init", "--config", str(path)]) == 0
    text = path.read_text().replace("#port = 50051", f"port = {free_port()}")
    for key, default in (("scorer_port", 9464), ("retrainer_port", 9465)):
        text = text.replace(f"#{key} = {default}", f"{key} = {free_port() if monitored else -1}")
    path.write_text(text)
    return path
