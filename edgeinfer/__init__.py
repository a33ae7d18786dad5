"""Reads perceived facial expressions in video, live, on small computers.

    import edgeinfer

    pipeline = edgeinfer.load_pipeline()
    with edgeinfer.open_source("clip.mp4") as source:
        for frame in source:
            for face in pipeline(frame.image, timestamp_s=frame.timestamp_s).faces:
                print(face.track_id, face.box.xywh, face.emotion.label, face.emotion.confidence)

What is read is an expression that people would perceive in the pixels, not what a person feels.
"""

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
from edgeinfer.results import LABELS, Box, Emotion, Face, Frame, Result, SourceState
from edgeinfer.runner import run
from edgeinfer.sources.base import Capture, Source
from edgeinfer.sources.factory import open_source
from edgeinfer.sources.retry import Patience

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
    "run",
]
