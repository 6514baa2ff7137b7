"""Publishes realised quality from the archive: matured labels against the scores given."""

import polars as pl

from fraud.monitoring.quality import Quality, QualityRules, realised_quality
from fraud.retrainer.cycle import Workshop
from fraud.training.history import Cut, History


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
    cut = Cut(shop.archive.position(), at_us)
    history = History(shop.archive, shop.spec, settings, cut, shop.state().view())
    rows = (
        history.judged(model, at_us - 2 * reach_us, with_features=False)
        .filter(pl.col("score").is_not_null())
        .sort("position")
        .collect()
    )
    if rows.is_empty():
        return None
    return realised_quality(rows, QualityRules.of(settings, at_us))
