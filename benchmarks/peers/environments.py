"""A virtual environment per peer, so that none of them is needed to run this project.

`python -m benchmarks.peers make mlserver` makes one; a benchmark leaves out the
peers that are not there and says so.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import FOLDER

ENVIRONMENTS = FOLDER / ".peers"


@dataclass(frozen=True)
class Peer:
    """A peer's name and the pinned packages it runs with."""

    name: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its environment stands."""
        return ENVIRONMENTS / self.name

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "bin" / "python"

    @property
    def is_made(self) -> bool:
        """True once its environment is complete."""
        return (self.folder / ".ready").exists()

    def make(self) -> None:
        """Make the environment, or finish one that was begun.

        Raises:
            subprocess.CalledProcessError: a package could not be installed; pip says which.
        """
        subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        subprocess.run([str(self.python), "-m", "pip", "install", "--quiet", *self.packages], check=True)
        (self.folder / ".ready").touch()

    def environment(self) -> dict[str, str]:
        """Return variables that put its commands first and keep prediction on one thread."""
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": "",
        }


MLSERVER = Peer("mlserver", ("mlserver==1.7.1", "mlserver-xgboost==1.7.1", "xgboost==3.2.0"))
RAYSERVE = Peer("rayserve", ("ray[serve]==2.60.0", "xgboost==3.2.0", "numpy==2.4.6"))
PEERS = {peer.name: peer for peer in (MLSERVER, RAYSERVE)}
