"""Stand-in for supervision 0.31, if it is not installed: `Detections` with the checks of its constructor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Detections:
    """Arrays with one entry per detection."""

    xyxy: NDArray[Any]
    mask: NDArray[Any] | None = None
    confidence: NDArray[Any] | None = None
    class_id: NDArray[Any] | None = None
    tracker_id: NDArray[Any] | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.xyxy)
        assert self.xyxy.shape == (count, 4)
        assert np.isfinite(self.xyxy).all()
        for values in (self.confidence, self.class_id, self.tracker_id, *self.data.values()):
            assert isinstance(values, np.ndarray)
            assert values.shape == (count,)

    def __getitem__(self, name: str) -> Any:
        return self.data[name]
