"""The code in `fraud/v1/` is what `make proto` makes of `proto/`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_generated_code_is_that_of_the_proto_files(tmp_path: Path) -> None:
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", f"--python_out={tmp_path}"]
    command += [f"--plugin=protoc-gen-mypy={plugin}", f"--mypy_out=quiet:{tmp_path}", *sources]
    subprocess.run(command, cwd=ROOT, check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "fraud" / "v1").iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "fraud" / "v1").glob("*_pb2.py*")}
    differ = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    assert not differ, f"fraud/v1: {', '.join(differ)} differ from proto/; run 'make proto'"
