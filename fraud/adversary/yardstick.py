"""The first champion, never retrained: what it says about every later payment.

    event log (read only) → features as logged → the first champion's bundle → scores

The scorer has logged each payment with the features of that moment, so the
bundle of any version can be put to the same rows afterwards. While that version
still served, its scores must come out as they were answered, bit for bit; that
is counted and shown.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fraud.bundle.bundle import Bundle
from fraud.eventlog.log import EventLog
from fraud.features.spec import FeatureSpec
from fraud.records import Scored

_READ_ENTRIES = 5_000


class Yardstick:
    """Follows the event log and scores it with one version's bundle, once there is one."""

    def __init__(self, log: EventLog, spec: FeatureSpec) -> None:
        self._log = log
        self._spec = spec
        self._position = 0
        self._bundle: Bundle | None = None
        self.version = ""
        self.logged = 0
        self.same = 0
        self.differing = 0

    def adopt(self, version: str, bundle: Bundle) -> None:
        """Take the version to compare with; it stays the same from here on."""
        self.version, self._bundle = version, bundle

    def read(self) -> dict[str, float]:
        """Read on to the head of the log; return a score for each transaction since the last read.

        Empty while no version has been adopted.
        """
        scores: dict[str, float] = {}
        for scored in self._new():
            self.logged += len(scored)
            if self._bundle is not None:
                scores.update(self._judge(scored, self._bundle))
        return scores

    def _new(self) -> Iterator[list[Scored]]:
        while entries := self._log.read(self._position, _READ_ENTRIES):
            self._position = entries[-1].position
            yield [entry.event for entry in entries if isinstance(entry.event, Scored)]

    def _judge(self, scored: Sequence[Scored], bundle: Bundle) -> dict[str, float]:
        if not scored:
            return {}
        features = np.frombuffer(b"".join(row.features for row in scored), np.float32)
        matrix = bundle.matrix(
            features.reshape(len(scored), len(self._spec.names)),
            self._spec.indices(bundle.feature_names),
            [row.categoricals for row in scored],
        )
        scores = bundle.scores(bundle.margins(matrix)).tolist()
        for row, score in zip(scored, scores, strict=True):
            if row.decision.version == self.version:
                self.same += row.decision.score == score
                self.differing += row.decision.score != score
        return {row.transaction_id: score for row, score in zip(scored, scores, strict=True)}
