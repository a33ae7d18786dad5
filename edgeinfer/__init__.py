"""Recognition of perceived facial expressions in video, live, on small computers.

    import edgeinfer

    pipeline = edgeinfer.load_pipeline()
    with edgeinfer.open_source("clip.mp4") as source:
        for frame in source:
            for face in pipeline(frame.image, timestamp_s=frame.timestamp_s).faces:
                print(face.track_id, face.box.xywh, face.emotion.label, face.emotion.confidence)

The labels name the expression that an observer would perceive in the pixels, not what a person feels.

The names below are the public API; all modules are private. Names are imported on first use (PEP 562), so that the
command line can print its help without loading OpenCV or onnxruntime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeinfer.detection.base import FaceDetector
    from edgeinfer.detection.haar import HaarDetector
    from edgeinfer.detection.whole_frame import WholeFrameDetector
    from edgeinfer.detection.yunet import YuNetDetector
    from edgeinfer.errors import (
        CapabilityError,
        EdgeInferError,
        ModelError,
        ModelNotFoundError,
        OutputError,
        SourceError,
        SourceLostError,
        SourceNotFoundError,
        UsageError,
    )
    from edgeinfer.expression.classifier import Classifier, EmotionClassifier
    from edgeinfer.model.card import ModelCard, bundled_models, read_card
    from edgeinfer.outputs.base import Sink
    from edgeinfer.outputs.csv import CsvSink
    from edgeinfer.outputs.draw import annotate
    from edgeinfer.outputs.events import Event, EventDetector, events
    from edgeinfer.outputs.factory import open_sink
    from edgeinfer.outputs.jsonl import JsonlSink
    from edgeinfer.outputs.rotation import Rotation
    from edgeinfer.outputs.summary import RunHeader, RunSummary
    from edgeinfer.outputs.video import VideoSink
    from edgeinfer.pipeline import Pipeline, load_pipeline
    from edgeinfer.readers.dataframe import to_pandas
    from edgeinfer.readers.recorded import read_results
    from edgeinfer.results import LABELS, Box, Emotion, Face, Frame, Pose, Result, SourceState
    from edgeinfer.runner import run
    from edgeinfer.sources.base import Capture, Source
    from edgeinfer.sources.factory import open_source
    from edgeinfer.sources.retry import Patience

_MODULES = {
    "detection.base": ("FaceDetector",),
    "detection.haar": ("HaarDetector",),
    "detection.whole_frame": ("WholeFrameDetector",),
    "detection.yunet": ("YuNetDetector",),
    "errors": (
        "CapabilityError", "EdgeInferError", "ModelError", "ModelNotFoundError", "OutputError", "SourceError",
        "SourceLostError", "SourceNotFoundError", "UsageError",
    ),
    "expression.classifier": ("Classifier", "EmotionClassifier"),
    "model.card": ("ModelCard", "bundled_models", "read_card"),
    "outputs.base": ("Sink",),
    "outputs.csv": ("CsvSink",),
    "outputs.draw": ("annotate",),
    "outputs.events": ("Event", "EventDetector", "events"),
    "outputs.factory": ("open_sink",),
    "outputs.jsonl": ("JsonlSink",),
    "outputs.rotation": ("Rotation",),
    "outputs.summary": ("RunHeader", "RunSummary"),
    "outputs.video": ("VideoSink",),
    "pipeline": ("Pipeline", "load_pipeline"),
    "readers.dataframe": ("to_pandas",),
    "readers.recorded": ("read_results",),
    "results": ("LABELS", "Box", "Emotion", "Face", "Frame", "Pose", "Result", "SourceState"),
    "runner": ("run",),
    "sources.base": ("Capture", "Source"),
    "sources.factory": ("open_source",),
    "sources.retry": ("Patience",),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "LABELS",
    "Box",
    "CapabilityError",
    "Capture",
    "Classifier",
    "CsvSink",
    "EdgeInferError",
    "Emotion",
    "EmotionClassifier",
    "Event",
    "EventDetector",
    "Face",
    "FaceDetector",
    "Frame",
    "HaarDetector",
    "JsonlSink",
    "ModelCard",
    "ModelError",
    "ModelNotFoundError",
    "OutputError",
    "Patience",
    "Pipeline",
    "Pose",
    "Result",
    "Rotation",
    "RunHeader",
    "RunSummary",
    "Sink",
    "Source",
    "SourceError",
    "SourceLostError",
    "SourceNotFoundError",
    "SourceState",
    "UsageError",
    "VideoSink",
    "WholeFrameDetector",
    "YuNetDetector",
    "annotate",
    "bundled_models",
    "events",
    "load_pipeline",
    "open_sink",
    "open_source",
    "read_card",
    "read_results",
    "run",
    "to_pandas",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the module's attributes, including the names that are not imported yet."""
    return sorted({*globals(), *_HOME})
