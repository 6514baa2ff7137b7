"""A VFS below SQLite: its own file layer, with every write and sync shown to a `Disk` first.

SQLite reaches the operating system through a table of functions (`sqlite3_vfs`)
and one per open file (`sqlite3_io_methods`). Copies of both are registered as
the default, with five functions replaced; the rest (locks, shared memory) is
the original. So the SQLite below the service is the real one, and so is the
code that asks it to commit. https://www.sqlite.org/vfs.html
"""

import _sqlite3
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int64, c_void_p
from typing import Any

from tests.simulation.disk import CANTOPEN, IOERR, IOERR_READ, OK, Disk

_READ = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)


class _Methods(Structure):
    """`sqlite3_io_methods`, version 3."""

    _fields_ = [
        ("version", c_int),
        ("close", _CLOSE),
        ("read", _READ),
        ("write", _READ),
        ("truncate", _TRUNCATE),
        ("sync", _SYNC),
        *[(f"other_{i}", c_void_p) for i in range(13)],
    ]


class _File(Structure):
    """`sqlite3_file`: the original follows with fields of its own."""

    _fields_ = [("methods", POINTER(_Methods))]


class _Vfs(Structure):
    """`sqlite3_vfs`, version 3."""

    _fields_ = [
        ("version", c_int),
        ("file_size", c_int),
        ("path_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _OPEN),
        ("delete", _DELETE),
        *[(f"other_{i}", c_void_p) for i in range(14)],
    ]


class _Shim:
    """The replaced functions. Stays referenced for the life of the interpreter: C points at it."""

    def __init__(self, original: Any) -> None:
        self.disk: Disk | None = None
        self._original = original
        self._files: dict[int, tuple[str, str, Any]] = {}
        self._methods: dict[int, tuple[_Methods, Any]] = {}
        self._functions = (
            _CLOSE(self._close),
            _READ(self._read),
            _READ(self._write),
            _TRUNCATE(self._truncate),
            _SYNC(self._sync),
        )
        self.vfs = _Vfs()
        ctypes.pointer(self.vfs)[0] = original.contents
        self.vfs.name = b"simulation"
        self.vfs.open = _OPEN(self._open)
        self.vfs.delete = _DELETE(self._delete)

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        disk = self.disk
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        ours = disk is not None and path.startswith(f"{disk.root}{os.sep}")
        owner = disk.owner() if disk is not None else ""
        if ours and disk is not None:
            if not disk.readable(path, owner):
                return CANTOPEN
            disk.pages.opened(path)
        code = int(
            self._original.contents.open(ctypes.addressof(self._original.contents), name, file, flags, out)
        )
        handle = ctypes.cast(file, POINTER(_File)).contents
        if code == OK and ours:
            methods, original = self._replaced(handle.methods)
            self._files[file] = (path, owner, original)
            handle.methods = ctypes.pointer(methods)
        return code

    def _replaced(self, methods: Any) -> tuple[_Methods, Any]:
        address = ctypes.addressof(methods.contents)
        if address not in self._methods:
            copy = _Methods()
            ctypes.pointer(copy)[0] = methods.contents
            copy.close, copy.read, copy.write, copy.truncate, copy.sync = self._functions
            self._methods[address] = copy, ctypes.cast(address, POINTER(_Methods)).contents
        return self._methods[address]

    def _delete(self, _: int, name: bytes, sync: int) -> int:
        disk = self.disk
        path = os.fsdecode(name)
        ours = disk is not None and path.startswith(f"{disk.root}{os.sep}")
        if ours and disk is not None and disk.frozen:
            return IOERR
        code = int(self._original.contents.delete(ctypes.addressof(self._original.contents), name, sync))
        if ours and disk is not None and code == OK:
            disk.pages.deleted(path)
        return code

    def _close(self, file: int) -> int:
        _, _, original = self._files.pop(file)
        return int(original.close(file))

    def _read(self, file: int, into: int, amount: int, offset: int) -> int:
        path, owner, original = self._files[file]
        if self.disk is not None and not self.disk.readable(path, owner):
            return IOERR_READ
        return int(original.read(file, into, amount, offset))

    def _write(self, file: int, data: int, amount: int, offset: int) -> int:
        path, owner, original = self._files[file]
        disk = self.disk
        if disk is None:
            return int(original.write(file, data, amount, offset))
        alive = owner not in disk.frozen
        code = disk.permit("write", path, owner)
        if code != OK and not (alive and owner in disk.frozen):
            return code
        if code != OK:  # the very write at which the process dies
            assert disk.fault is not None
            amount = int(amount * disk.fault.torn)
        if amount:
            original.write(file, data, amount, offset)
            disk.wrote(path, offset, ctypes.string_at(data, amount))
        return code

    def _truncate(self, file: int, size: int) -> int:
        path, owner, original = self._files[file]
        disk = self.disk
        code = disk.permit("write", path, owner) if disk is not None else OK
        if code != OK:
            return code
        if disk is not None:
            disk.cut_off(path, size)
        return int(original.truncate(file, size))

    def _sync(self, file: int, flags: int) -> int:
        path, owner, original = self._files[file]
        disk = self.disk
        if disk is None:
            return int(original.sync(file, flags))
        alive = owner not in disk.frozen
        code = disk.permit("sync", path, owner)
        if code != OK:
            if alive and owner not in disk.frozen:
                disk.pages.lose(path)
            return code
        disk.pages.synced(path)
        return OK


def _installed() -> tuple[Any, _Shim]:
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    original = library.sqlite3_vfs_find(None)
    return library, _Shim(original)


_LIBRARY, _SHIM = _installed()


@contextmanager
def below_sqlite(disk: Disk) -> Iterator[None]:
    """Put a disk below every database under its root, for the body of a `with`; one at a time.

    Every database has to be closed when the body ends.
    """
    assert _SHIM.disk is None
    _SHIM.disk = disk
    original = _LIBRARY.sqlite3_vfs_find(None)
    _LIBRARY.sqlite3_vfs_register(byref(_SHIM.vfs), 1)
    try:
        yield
    finally:
        _LIBRARY.sqlite3_vfs_register(original, 1)
        _LIBRARY.sqlite3_vfs_unregister(byref(_SHIM.vfs))
        _SHIM.disk = None
