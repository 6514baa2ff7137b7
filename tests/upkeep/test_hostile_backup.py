"""A backup from elsewhere: it writes nowhere but into its folder, unfolds nothing and follows no link."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fraud.errors import Damaged
from fraud.upkeep.inventory import NAME, opened
from fraud.upkeep.restoring import copy_all
from tests.fuzz.seeds import made_inventory, tar_of

SECRET = b"not yours"
GOOD = {"fraud.toml": b"[service]\n", "data/events.sqlite": b"log"}


def restored(place: Path, into: Path) -> None:
    with opened(place) as (inventory, source):
        copy_all(inventory, source, into, str(place))


def hostile_tar(folder: Path, member: tarfile.TarInfo, told: bytes) -> Path:
    """Write a backup whose `data/x` is this member, and whose inventory says that it holds `told`."""
    held = io.BytesIO(tar_of({NAME: made_inventory(GOOD | {"data/x": told}).to_json().encode(), **GOOD}))
    with tarfile.open(fileobj=held, mode="a") as tar:
        tar.addfile(member)
    place = folder / "b.tar"
    place.write_bytes(held.getvalue())
    return place


def test_a_plain_backup_is_copied(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(tar_of({NAME: made_inventory(GOOD).to_json().encode(), **GOOD}))
    restored(tmp_path / "b.tar", tmp_path / "into")
    assert (tmp_path / "into" / "events.sqlite").read_bytes() == b"log"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "data/../../x",
        "/etc/x",
        "data//x",
        "data/./x",
        "data",
        "other/x",
        "data/\0",
        "",
        "data/events.sqlite/x",
        "data/events.sqlite-shm",
        "data/registry.sqlite-wal",
        "data/registry.sqlite-journal",
        "data/scorer.lock",
    ],
)
def test_a_path_that_is_none_of_a_backup_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "b.tar").write_bytes(
        tar_of({NAME: made_inventory(GOOD | {path: b"x"}).to_json().encode(), **GOOD})
    )
    with pytest.raises(Damaged, match="is no file of a backup"):
        restored(tmp_path / "b.tar", tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    text = made_inventory(GOOD).to_json()
    line = text[text.index("{", text.index('"files"')) : text.index("}", text.index('"files"')) + 1]
    (tmp_path / "b.tar").write_bytes(tar_of({NAME: text.replace(line, f"{line}, {line}").encode(), **GOOD}))
    with pytest.raises(Damaged, match="twice"):
        restored(tmp_path / "b.tar", tmp_path / "into")


def _linked(kind: bytes, target: str) -> Callable[[], tarfile.TarInfo]:
    def make() -> tarfile.TarInfo:
        member = tarfile.TarInfo("data/x")
        member.type, member.linkname = kind, target
        return member

    return make


@pytest.mark.parametrize(
    "member",
    [
        _linked(tarfile.SYMTYPE, "/etc/passwd"),
        _linked(tarfile.SYMTYPE, "x"),
        _linked(tarfile.LNKTYPE, "data/events.sqlite"),
        _linked(tarfile.CHRTYPE, ""),
        _linked(tarfile.FIFOTYPE, ""),
        _linked(tarfile.DIRTYPE, ""),
    ],
)
def test_a_member_that_is_no_plain_file_is_refused(
    tmp_path: Path, member: Callable[[], tarfile.TarInfo]
) -> None:
    with pytest.raises(Damaged, match="data/x is no plain file"):
        restored(hostile_tar(tmp_path, member(), b"log"), tmp_path / "into")


def test_a_member_that_claims_more_than_there_is_ends_by_name(tmp_path: Path) -> None:
    member = tarfile.TarInfo("data/x")
    place = hostile_tar(tmp_path, member, b"x")
    raw = bytearray(place.read_bytes())
    at = raw.rindex(b"data/x\0")
    member.size = 2**36
    raw[at : at + 512] = member.tobuf(tarfile.GNU_FORMAT)
    place.write_bytes(raw)
    with pytest.raises(Damaged, match=r"cannot be read|has \d+ bytes"):
        restored(place, tmp_path / "into")
    copied = tmp_path / "into" / "x"
    assert not copied.exists() or copied.stat().st_size <= 2, "no more is written than the inventory says"


def test_a_folder_whose_files_lead_elsewhere_is_refused(tmp_path: Path) -> None:
    backup = tmp_path / "b"
    (backup / "data").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(SECRET)
    (backup / NAME).write_text(made_inventory({"data/x": SECRET}).to_json())
    (backup / "data" / "x").symlink_to(tmp_path / "secret")
    with pytest.raises(Damaged, match="data/x is no file of its own"):
        restored(backup, tmp_path / "into")
    (backup / "data" / "x").unlink()
    os.mkfifo(backup / "data" / "x")
    with pytest.raises(Damaged, match="data/x is no file of its own"):
        restored(backup, tmp_path / "into")
