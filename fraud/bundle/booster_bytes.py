"""Walks the bytes of a booster (UBJ) and its trees before XGBoost does.

    bytes ─ every length within the file, nesting bounded ─▶ values, arrays as views
      ─▶ trees: arrays of one length, children within and behind their parent, columns that there are

XGBoost reads a model without asking: a length beyond the end, a child that no array holds or a
tree that leads back to itself crashes the process or hangs it. The format is that of UBJSON
draft 12 with 64-bit typed arrays, as XGBoost writes it (its `doc/model.schema`).
"""

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DEPTH_MAX: Final = 32
"""Of nested values; a booster of trees nests 9 deep."""
TREE_DEPTH_MAX: Final = 256
"""Explaining a score walks a tree by recursion."""
_NUMBERS: Final = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"l": ">i4",
    b"L": ">i8",
    b"d": ">f4",
    b"D": ">f8",
}
_WORDS: Final = {b"T": True, b"F": False, b"Z": None, b"N": None}
_NO_PARENT: Final = 2**31 - 1
_TREE_ARRAYS: Final = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "split_type",
    "default_left",
    "base_weights",
    "loss_changes",
    "sum_hessian",
)
_CATEGORIES: Final = ("categories_nodes", "categories_segments", "categories_sizes")


def check_booster(raw: bytes, columns: int, words_max: int) -> None:
    """Assert that these bytes are a booster of trees over so many columns.

    `words_max` is the number of words of the largest vocabulary. XGBoost keeps a bit for every code up to
    the largest of a split, so a code that no word has may cost any amount of memory.

    Raises:
        ValueError: they are not; the message says where.
    """
    try:
        model = _Walk(raw).document()
        learner = model["learner"]
        told = int(learner["learner_model_param"]["num_feature"])
        if told != columns:
            raise ValueError(f"it is of {told} columns, the bundle of {columns}")
        trees = _trees(learner)
        for number, tree in enumerate(trees):
            _check_tree(tree, number, columns, words_max)
    except (KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"the booster is none ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"the booster is none: {error}") from error


def _trees(learner: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the trees, in number and grouping what the model says of them."""
    booster = learner["gradient_booster"]
    model, param = booster["model"], learner["learner_model_param"]
    trees = model["trees"]
    if booster["name"] != "gbtree" or not isinstance(trees, list):
        raise ValueError("it is no list of trees")
    rounds = np.asarray(model["iteration_indptr"], np.int64)
    counted = int(model["gbtree_model_param"]["num_trees"])
    single = int(param["num_class"]) == 0 and int(param["num_target"]) == 1
    if not single or counted != len(trees) or not np.array_equal(rounds, np.arange(len(trees) + 1)):
        raise ValueError(f"it has {len(trees)} trees and says otherwise")
    if np.asarray(model["tree_info"], np.int64).tolist() != [0] * len(trees):
        raise ValueError("a tree is of another class than fraud")
    if any(len(model["cats"][part]) for part in ("enc", "feature_segments", "sorted_idx")):
        raise ValueError("it has words of its own; those of a bundle stand in its description")
    return trees


class _Walk:
    """Reads values one behind the other; never beyond the end, never deeper than `DEPTH_MAX`."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def document(self) -> dict[str, Any]:
        found = self._value(self._take(1), 0)
        if not isinstance(found, dict) or self._at != len(self._raw):
            raise ValueError("it is no object, or something follows it")
        return found

    def _take(self, length: int) -> bytes:
        if not 0 <= length <= len(self._raw) - self._at:
            raise ValueError(f"at byte {self._at} it claims {length} bytes more")
        self._at += length
        return self._raw[self._at - length : self._at]

    def _value(self, kind: bytes, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise ValueError(f"it is nested more than {DEPTH_MAX} deep")
        if kind == b"{":
            return self._object(depth)
        if kind == b"[":
            return self._array(depth)
        if kind == b"S":
            return self._text()
        if kind in _NUMBERS:
            return self._numbers(kind, 1)[0].item()
        if kind in _WORDS:
            return _WORDS[kind]
        raise ValueError(f"at byte {self._at} stands {kind!r}, no kind of value")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (kind := self._take(1)) != b"}":
            name = self._text(kind)
            if name in found:
                raise ValueError(f"{name} stands there twice")
            found[name] = self._value(self._take(1), depth + 1)
        return found

    def _array(self, depth: int) -> Any:
        kind = self._take(1)
        if kind == b"$":
            inner = self._take(1)
            if self._take(1) != b"#":
                raise ValueError("an array of one kind says no length")
            return self._numbers(inner, self._length(self._take(1)))
        if kind == b"#":
            return [self._value(self._take(1), depth + 1) for _ in range(self._length(self._take(1)))]
        found = []
        while kind != b"]":
            found.append(self._value(kind, depth + 1))
            kind = self._take(1)
        return found

    def _numbers(self, kind: bytes, count: int) -> NDArray[Any]:
        dtype = np.dtype(_NUMBERS.get(kind, ""))
        if dtype.itemsize == 0 or kind not in _NUMBERS:
            raise ValueError(f"an array of {kind!r}")
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def _length(self, kind: bytes) -> int:
        if kind not in (b"i", b"U", b"I", b"l", b"L"):
            raise ValueError(f"at byte {self._at} a length is of kind {kind!r}")
        length = int(self._numbers(kind, 1)[0])
        if not 0 <= length <= len(self._raw):
            raise ValueError(f"at byte {self._at} it claims a length of {length}")
        return length

    def _text(self, kind: bytes | None = None) -> str:
        return self._take(self._length(kind or self._take(1))).decode()


def _check_tree(tree: dict[str, Any], number: int, columns: int, words_max: int) -> None:
    arrays = {name: np.asarray(tree[name]) for name in _TREE_ARRAYS}
    nodes = len(arrays["left_children"])
    uneven = [name for name, array in arrays.items() if array.shape != (nodes,)]
    told = tree["tree_param"]
    if not nodes or uneven or int(told["num_nodes"]) != nodes or int(told["num_deleted"]):
        raise ValueError(f"tree {number}: {nodes} nodes, and says otherwise ({', '.join(uneven)})")
    if int(told["num_feature"]) != columns or int(told["size_leaf_vector"]) > 1 or tree["id"] != number:
        raise ValueError(f"tree {number}: is of other columns, classes or place")
    left, right = arrays["left_children"].astype(np.int64), arrays["right_children"].astype(np.int64)
    leaf = left == -1
    inner = np.flatnonzero(~leaf)
    children = np.concatenate([left[inner], right[inner]])
    # Every node but the root is the child of one node, which it names and which stands before it:
    # so it is a tree, no way leads back, and every walk ends.
    once = np.array_equal(np.sort(children), np.arange(1, nodes))
    if not once or not np.array_equal(right == -1, leaf):
        raise ValueError(f"tree {number}: its children are not each node once")
    behind = np.concatenate([inner, inner])
    parents = arrays["parents"].astype(np.int64)
    if (children <= behind).any() or (parents[children] != behind).any() or parents[0] != _NO_PARENT:
        raise ValueError(f"tree {number}: a node does not name its parent, or stands before it")
    split = arrays["split_indices"].astype(np.int64)
    if (split < 0).any() or (split >= columns).any():
        raise ValueError(f"tree {number}: splits by a column beyond {columns}")
    finite = all(np.isfinite(arrays[name]).all() for name in ("base_weights", "loss_changes", "sum_hessian"))
    weight = arrays["sum_hessian"]
    if not finite or (weight < 0).any() or (weight[inner] == 0).any():
        raise ValueError(f"tree {number}: a weight is no number, or none reached a split")
    _check_depth(left, right, number)
    _check_categories(tree, number, arrays["split_type"], words_max)


def _check_depth(left: NDArray[np.int64], right: NDArray[np.int64], number: int) -> None:
    level, depth = np.zeros(1, np.int64), 0
    while len(level):
        level, depth = np.concatenate([left[level], right[level]]), depth + 1
        level = level[level != -1]
        if depth > TREE_DEPTH_MAX:
            raise ValueError(f"tree {number}: is more than {TREE_DEPTH_MAX} deep")


def _check_categories(tree: dict[str, Any], number: int, kinds: NDArray[Any], words_max: int) -> None:
    """Assert that the sets of words share out their array, one for each split that is by words."""
    held = len(tree["categories"])
    at, start, size = (np.asarray(tree[name], np.int64) for name in _CATEGORIES)
    if not len(at) == len(start) == len(size) or ((kinds != 0) & (kinds != 1)).any():
        raise ValueError(f"tree {number}: its sets of words are of different lengths")
    shared = (size >= 0).all() and size.sum() == held and np.array_equal(start, np.cumsum(size) - size)
    if not shared or not np.array_equal(at, np.flatnonzero(kinds == 1)):
        raise ValueError(f"tree {number}: a set of words lies outside the tree")
    words = np.asarray(tree["categories"], np.int64)
    if (words < 0).any() or (words >= words_max).any():
        raise ValueError(f"tree {number}: a word has no code")
