"""The manifest: from what exactly a version was trained, as plain JSON.

A training set is a function of what the manifest names, so two versions with
the same manifest are the same bytes. Keys every manifest has:

    model, recipe, parameters, seed, libraries
    cut {position, time_us}          the prefix of the event log that was known
    spans {…_us}, positions {…}      which rows trained, calibrated, stay as evidence
    rows {…}                         counts of rows and frauds
    label_batches [{batch_id, source, submitter, position, parts, arrival_us [], digest, labels, frauds}]
                                     whose labels gave rows that were fitted or calibrated on
                                     their verdict, or took one away
    label_fed_features []            the features through which earlier labels came in as well
    fitted {until_us, others_until_us} until when it and what it continues was fitted (may be absent)
    apart {entity, share, folds}, label_silence_us   who judges while fresh; how old a payment without a
                                     verdict taught (with `training.fresh`)
    exclusions []                    what was hidden (`fraud.labels.exclusions`)
    thresholds_notes, policy_curve   what the policy could not meet; what a threshold trades (may be absent)
    (in the ledger also: archive {}  versions of the archive's tables that were read)
    feature_definitions {}           what each feature that it reads means (older ones have none)
    spec_fingerprint, parent         features as of then; digest of the version continued, or ""
"""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from platform import python_version
from typing import Any, Final

from fraud.documents import Packed
from fraud.errors import Damaged

REQUIRED = (
    "model",
    "recipe",
    "parameters",
    "seed",
    "libraries",
    "cut",
    "spans",
    "positions",
    "rows",
    "label_batches",
    "label_fed_features",
    "exclusions",
    "spec_fingerprint",
    "parent",
)

_BATCHES: Final = "label_batches"
_PACKED_ROWS: Final = 1000
"""Packed at a time, so that other threads get their turn in between."""
_LIBRARIES = ("numpy", "polars", "scipy", "xgboost")


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no spaces, no NaN; UTF-8.

    >>> canonical_json({"b": 1, "a": 0.5})
    b'{"a":0.5,"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode()


def library_versions() -> dict[str, str]:
    """Return the versions of everything that shapes a fitted model."""
    return {"python": python_version(), **{name: version(name) for name in _LIBRARIES}}


class Manifest(Mapping[str, Any]):
    """A manifest as a bundle in memory has it: the label batches packed, and decoded anew at every look.

    A service that labels by the minute has tens of thousands of them, and nobody who scores asks for one.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Pack the content.

        Raises:
            KeyError, TypeError, ValueError: there are no label batches, or JSON does not spell them.
        """
        batches = content[_BATCHES]
        self._rest = {**content, _BATCHES: None}
        self._batches = [
            Packed.of(batches[start : start + _PACKED_ROWS]) for start in range(0, len(batches), _PACKED_ROWS)
        ]

    def __getitem__(self, key: str) -> Any:
        if key == _BATCHES:
            return [batch for packed in self._batches for batch in packed.value()]
        return self._rest[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rest)

    def __len__(self) -> int:
        return len(self._rest)


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Assert that a stored manifest has every key, a cut, and definitions that are texts.

    Raises:
        Damaged: it has not; the message names the key.
    """
    missing = [key for key in REQUIRED if key not in manifest]
    if missing:
        raise Damaged(f"manifest: {', '.join(missing)} missing; restore the bundle from a copy or retrain")
    cut = manifest["cut"]
    if not isinstance(cut, dict) or any(type(cut.get(key)) is not int for key in ("time_us", "position")):
        raise Damaged("manifest: cut has no position and time; restore the bundle from a copy or retrain")
    defined = manifest.get("feature_definitions", {})
    if not isinstance(defined, dict) or not all(isinstance(text, str) for text in defined.values()):
        raise Damaged(
            "manifest: feature_definitions is no table of texts; restore the bundle from a copy or retrain"
        )
