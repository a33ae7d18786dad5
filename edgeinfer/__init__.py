"""Reads perceived facial expressions in video, live, on small computers.

    import edgeinfer

    pipeline = edgeinfer.load_pipeline()
    with edgeinfer.open_source("clip.mp4") as source:
        for frame in source:
            for face in pipeline(frame.image, timestamp_s=frame.timestamp_s).faces:
                print(face.track_id, face.box.xywh, face.emotion.label, face.emotion.confidence)

What is read is an expression that people would perceive in the pixels, not what a person feels.
"""

from edgeinfer.classifier import Classifier, EmotionClassifier
from edgeinfer.detector import FaceDetector, HaarDetector, WholeFrameDetector, YuNetDetector
from edgeinfer.draw import annotate
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
from edgeinfer.event import Event, EventDetector, events
from edgeinfer.frames import Capture
from edgeinfer.model import ModelCard, bundled_models, read_card
from edgeinfer.patience import Patience, SourceState
from edgeinfer.pictures import VideoSink
from edgeinfer.pipeline import Pipeline, load_pipeline
from edgeinfer.records import RunHeader, RunSummary
from edgeinfer.results import LABELS, Box, Emotion, Face, Result
from edgeinfer.rotation import Rotation
from edgeinfer.runner import run
from edgeinfer.sinks import CsvSink, JsonlSink, Sink, open_sink
from edgeinfer.sources import Frame, Source, open_source

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
