"""Where machine code is kept: what one release has compiled no other ever looks at."""

import os
import subprocess
import sys
from pathlib import Path

import numba

import fraud

CODE = "from fraud.features.calendar import fill; print(fill.stats.cache_path)"


def test_each_release_has_a_cache_folder_of_its_own(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True)
    own = Path(done.stdout.strip()).relative_to(tmp_path)
    assert own.parts[0] == f"{fraud.__version__}-{numba.__version__}"
    assert len(own.parts) == 2, "below it numba's own, by the path of the file"
