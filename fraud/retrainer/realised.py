"""Publishes realised quality from the archive: matured labels against the scores given."""

import polars as pl

from fraud.labels.maturity import judged
from fraud.labels.standing import ConflictRule
from fraud.labels.table import standing_table
from fraud.monitoring.quality import Quality, QualityRules, realised_quality
from fraud.retrainer.cycle import Workshop


def publish_quality(shop: Workshop) -> None:
    """Set the realised-quality gauges of every model as of the newest arrival archived."""
    at_us = shop.clock.now_us()
    for model in shop.settings.models:
        quality = quality_of(shop, model, at_us)
        if quality is not None:
            shop.metrics.quality(model, quality)


def quality_of(shop: Workshop, model: str, at_us: int) -> Quality | None:
    """Return the realised quality of a model as of a moment; None without scored rows."""
    settings = shop.settings
    reach_us = settings.monitoring.quality_window + settings.labels.maturity
    transactions = shop.archive.transactions().filter(
        (pl.col("model") == model)
        & (pl.col("event_time_us") >= at_us - 2 * reach_us)
        & pl.col("score").is_not_null()
    )
    rows = (
        judged(
            transactions,
            standing_table(shop.archive.labels(), ConflictRule.of(settings.labels)),
            shop.archive.outcomes(),
            settings.labels,
            at_us,
        )
        .filter(pl.col("is_fraud").is_not_null())
        .sort("position")
        .collect()
    )
    if rows.is_empty():
        return None
    return realised_quality(rows, QualityRules.of(settings, at_us))
