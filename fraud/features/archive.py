"""The archive of a data folder, with the features of its configuration."""

from pathlib import Path

from fraud.archive.archive import Archive
from fraud.features.spec import FeatureSpec
from fraud.settings import Settings


def open_archive(settings: Settings, folder: Path | None = None) -> Archive:
    """Open the archive of the data folder, or a copy of it in `folder`; there may be nothing in it yet.

    Raises:
        OtherFormat: another release has written it in another format.
    """
    spec = FeatureSpec.of(settings)
    return Archive(folder or settings.places.archive, settings.schema_, spec.definitions)
