"""Hash of all settings that change the results of a batch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from edgeinfer.batch.content import file_hash
from edgeinfer.batch.jobs import WorkSettings
from edgeinfer.detection.base import is_cascade_path
from edgeinfer.errors import ModelError, UsageError
from edgeinfer.options.groups import DetectionOptions, ModelOptions
from edgeinfer.system.paths import local_path

_PRIOR_NAMES = ("natural", "balanced")


def settings_key(settings: WorkSettings) -> str:
    """Return a hash of the options, and of the contents of the files that they name.

    The number of threads changes no result; every other option is included.

    Args:
        settings: Settings of the jobs.

    Returns:
        A SHA-256 as 64 hexadecimal digits.

    Raises:
        ModelError: The model, the detector's model or the cascade is missing or cannot be read.
        UsageError: The file of the prior cannot be read.

    Examples:
        >>> from edgeinfer.options.groups import ContentOptions, DecodingOptions
        >>> settings = WorkSettings(ModelOptions(), DetectionOptions(), DecodingOptions(), ContentOptions())
        >>> len(settings_key(settings))
        64
    """
    values = asdict(settings)
    values["model"] |= {"threads": None, **_model_hashes(settings.model)}
    values["detection"] |= _detection_hashes(settings.detection)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _model_hashes(options: ModelOptions) -> dict[str, Any]:
    from edgeinfer.model.card import find_model  # noqa: PLC0415 - loads numpy

    hashes = {"model": file_hash(str(find_model(options.model)), ModelError)}
    if options.prior not in _PRIOR_NAMES:
        hashes["prior"] = file_hash(str(local_path(options.prior, UsageError)), UsageError)
    return hashes


def _detection_hashes(options: DetectionOptions) -> dict[str, Any]:
    hashes = {}
    if options.cascade is not None and is_cascade_path(options.cascade):
        hashes["cascade"] = file_hash(str(local_path(options.cascade, ModelError)), ModelError)
    if options.detector_model is not None:
        hashes["detector_model"] = file_hash(str(options.detector_model), ModelError)
    return hashes
