"""`[guard]`: what is judged in the data before a training run, and what a finding does.

A check that finds something freezes training of the model, drops the suspect
part for the run, or notes it. Bounds are of effect; that chance alone does not
explain it is asked besides, of all checks alike (`p_value`).
"""

from typing import Literal

from pydantic import Field

from fraud.clock import DAY_US
from fraud.settings.durations import PositiveDurationUs
from fraud.settings.section import Name, Section

Action = Literal["freeze", "drop", "note", "off"]


class Silence(Section):
    """Fewer fraud labels of a source than its delay curve promises."""

    action: Action = "freeze"
    short: float = Field(default=0.5, gt=0, lt=1, description="observed ÷ expected, at most")
    expected_min: float = Field(default=10.0, gt=0, description="less expected: not judged")


class Outcomes(Section):
    """Fewer payment outcomes than traffic promises."""

    action: Action = "freeze"
    short: float = Field(default=0.5, gt=0, lt=1, description="observed ÷ expected, at most")
    expected_min: float = Field(default=50.0, gt=0, description="less expected: not judged")


class FraudRate(Section):
    """More fraud labels than before; a new attack looks like it too."""

    action: Action = "note"
    jump: float = Field(default=2.5, gt=1, description="observed ÷ expected, at least")
    frauds_min: int = Field(default=20, ge=1, description="in a day")


class Share(Section):
    """One source or submitter gives more of the frauds than it used to."""

    action: Action = "freeze"
    rise: float = Field(default=0.25, gt=0, lt=1, description="of its share of the frauds")
    frauds_min: int = Field(default=20, ge=1)


class EntityShare(Section):
    """One merchant, say, gives much of the frauds; a breach looks like it too."""

    action: Action = "note"
    entity: Name | None = Field(default=None, description="default: the second of the schema")
    share: float = Field(default=0.25, gt=0, le=1, description="and twice the largest before")
    frauds_min: int = Field(default=30, ge=1)


class BatchSize(Section):
    """One batch brings more frauds than batches of its source do."""

    action: Action = "freeze"
    jump: float = Field(default=3.0, gt=1, description="frauds ÷ those of a usual batch, at least")
    frauds_min: int = Field(default=20, ge=1)


class Contradictions(Section):
    """Labels that say the opposite of an earlier one about the same transaction."""

    action: Action = "freeze"
    rise: float = Field(default=0.1, gt=0, lt=1, description="of their share of the labels")
    labels_min: int = Field(default=20, ge=1)


class Overturned(Section):
    """A submitter calls legitimate what better sources say is fraud, as a bought analyst does."""

    action: Action = "freeze"
    rise: float = Field(default=0.1, gt=0, lt=1, description="of the share overturned, above the usual")
    labels_min: int = Field(default=50, ge=1, description="payments called legitimate")


class Duplicates(Section):
    """A batch that repeats labels given before."""

    action: Action = "note"
    share: float = Field(default=0.5, gt=0, le=1, description="of the batch")
    labels_min: int = Field(default=20, ge=1)


class TrafficShape(Section):
    """Hours without traffic, or days with far more of it than the week before promises."""

    action: Action = "note"
    gap: float = Field(default=0.1, gt=0, lt=1, description="observed ÷ expected, at most")
    jump: float = Field(default=3.0, gt=1, description="observed ÷ expected, at least")
    expected_min: float = Field(default=50.0, gt=0, description="less expected: not judged")


class MissingValues(Section):
    """A field that is missing more often than it was."""

    action: Action = "freeze"
    rise: float = Field(default=0.2, gt=0, lt=1, description="of the share missing in a day")
    rows_min: int = Field(default=100, ge=1)


class ImplausibleBatch(Section):
    """A batch whose labels neither the champion nor cross-fitted models can believe."""

    action: Action = "freeze"
    rise: float = Field(default=0.25, gt=0, lt=1, description="of the share that is implausible")
    labels_min: int = Field(default=20, ge=1)
    low_share: float = Field(
        default=0.9, gt=0, lt=1, description="a fraud scored below this share of traffic is implausible"
    )
    certain: float = Field(
        default=0.9, gt=0, lt=1, description="a legitimate payment scored from here on is implausible"
    )
    suspicion: float = Field(default=1e-3, gt=0, lt=1, description="chance that has models cross-fitted")
    sample_rows: int = Field(default=20_000, ge=1_000, description="of traffic beside the labels")


class ImplausibleSubmitter(Section):
    """A submitter whose FRAUD labels of four weeks models cannot believe; by the bounds of a batch's."""

    action: Action = "freeze"
    rise: float = Field(default=0.3, gt=0, lt=1, description="of the share implausible, above that of others")
    labels_min: int = Field(default=20, ge=1)


class NearCertain(Section):
    """Payments scored near 1 that turn out legitimate, by label or by silence."""

    action: Action = "freeze"
    certain: float = Field(default=0.9, gt=0, lt=1, description="near 1 from here on")
    rise: float = Field(default=0.15, gt=0, lt=1, description="of the share that is legitimate")
    rows_min: int = Field(default=10, ge=1)


class Guard(Section):
    """What is looked at, from when on, and each check."""

    history: PositiveDurationUs = Field(default=56 * DAY_US, description="the past that judges the present")
    history_min: PositiveDurationUs = Field(
        default=14 * DAY_US, description="with less of it a check stays silent"
    )
    p_value: float = Field(default=1e-6, gt=0, lt=0.1, description="chance that a check allows itself")
    silence: Silence = Silence()
    outcomes: Outcomes = Outcomes()
    fraud_rate: FraudRate = FraudRate()
    source_share: Share = Share()
    submitter_share: Share = Share()
    entity_share: EntityShare = EntityShare()
    batch_size: BatchSize = BatchSize()
    contradictions: Contradictions = Contradictions()
    overturned: Overturned = Overturned()
    duplicates: Duplicates = Duplicates()
    traffic: TrafficShape = TrafficShape()
    missing_values: MissingValues = MissingValues()
    implausible_batch: ImplausibleBatch = ImplausibleBatch()
    implausible_submitter: ImplausibleSubmitter = ImplausibleSubmitter()
    near_certain: NearCertain = NearCertain()
