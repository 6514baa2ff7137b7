"""Bytes of bundles that the targets take, without folds and with: real ones, made once."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from fraud.bundle.bundle import BOOSTER_FILE, DESCRIPTION_FILE, SELFTEST_FILE, Bundle
from fraud.bundle.folds import FOLD_FILES
from fraud.bundle.manifest import canonical_json
from tests.bundle.made import made_bundle, made_folds

FOLD_FILE = FOLD_FILES[0]


@functools.cache
def plain() -> Mapping[str, bytes]:
    """Return the files of a small real bundle."""
    return made_bundle().files()


@functools.cache
def dealt() -> Mapping[str, bytes]:
    """Return the files of the same bundle with folds."""
    return made_folds(made_bundle()).files()


def described(description: bytes) -> dict[str, bytes]:
    """Return the files of a bundle with this description: those of folds where it speaks of them."""
    whole = dealt() if FOLD_FILE.encode() in description else plain()
    return dict(whole) | {DESCRIPTION_FILE: description}


def resealed(changed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the bundle with other files and the digests that go with them: what a forger would write."""
    whole = dict(plain()) | dict(changed)
    description = json.loads(whole.pop(DESCRIPTION_FILE))
    description["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in whole.items()}
    return whole | {DESCRIPTION_FILE: canonical_json(description)}


@functools.cache
def _read() -> Bundle:
    return Bundle.from_files(plain())


def with_fold(booster: bytes) -> Bundle:
    """Return a bundle that was read and has this as the booster of its only fold, not looked at so far."""
    return replace(_read(), folds=(booster,))


def descriptions() -> list[bytes]:
    """Return descriptions of bundles: one whose manifest has no folds, and one whose manifest has."""
    return [files[DESCRIPTION_FILE] for files in (plain(), dealt())]


def boosters() -> list[bytes]:
    """Return a booster."""
    return [plain()[BOOSTER_FILE]]


def fold_boosters() -> list[bytes]:
    """Return the booster of a fold."""
    return [dealt()[FOLD_FILE]]


def selftests() -> list[bytes]:
    """Return self-test rows."""
    return [plain()[SELFTEST_FILE]]
