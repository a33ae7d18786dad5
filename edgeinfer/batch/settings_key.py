"""Hash of all settings that change the results of a batch."""

from __future__ import annotations

from edgeinfer.batch.jobs import WorkSettings


def settings_key(settings: WorkSettings) -> str:
    """Return a SHA-256 over the options and the contents of the model, cascade and prior files.

    Raises:
        ModelError: A file is missing or cannot be read.
        CapabilityError: OpenCV lacks the cascade files.
    """
    raise NotImplementedError
