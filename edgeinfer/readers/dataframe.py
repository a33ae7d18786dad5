"""Conversion of results to a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import CapabilityError
from edgeinfer.readers.base import COLUMNS
from edgeinfer.representation import FACE_COLUMNS, POSE_COLUMNS, label_column
from edgeinfer.results import Face, Result

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(results: Iterable[Result]) -> pd.DataFrame:
    """Return a table with one row per face, and the columns of CSV.

    Args:
        results: Results of a pipeline, or of `read_results`. A frame without faces has no row.

    Returns:
        The columns source, picture, frame, time_s, track, x, y, w, h, label, confidence, one per label of the
        probabilities, and roll, yaw and pitch; without those that are unknown for all faces.

    Raises:
        CapabilityError: pandas is not installed.

    Examples:
        >>> import edgeinfer
        >>> happy = edgeinfer.Emotion("happy", 0.9, {"neutral": 0.1, "happy": 0.9})
        >>> face = edgeinfer.Face(1, edgeinfer.Box(10, 20, 30, 40), happy, happy)
        >>> table = edgeinfer.to_pandas([edgeinfer.Result((face,), timestamp_s=0.04, index=1)])
        >>> table[["frame", "time_s", "track", "label", "happy"]].values.tolist()
        [[1, 0.04, 1, 'happy', 0.9]]
    """
    try:
        import pandas as pd  # noqa: PLC0415 - optional, slow to import
    except ImportError as error:
        raise CapabilityError("a DataFrame needs pandas; install it with: pip install pandas") from error
    rows = [_row(result, face) for result in results for face in result.faces]
    return pd.DataFrame(rows, columns=None if rows else COLUMNS)


def _row(result: Result, face: Face) -> dict[str, Any]:
    first = {"source": result.source, "picture": result.picture, "frame": result.index}
    values = (result.timestamp_s, face.track_id, *face.box.xywh, face.emotion.label, face.emotion.confidence)
    pose = () if face.pose is None else (face.pose.roll, face.pose.yaw, face.pose.pitch)
    return {
        **{name: value for name, value in first.items() if value is not None},
        **dict(zip(("time_s", *FACE_COLUMNS), values, strict=True)),
        **{label_column(label): share for label, share in face.emotion.probabilities.items()},
        **dict(zip(POSE_COLUMNS, pose, strict=False)),
    }
