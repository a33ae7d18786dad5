"""Labels of one face do not depend on the detector that found it."""

from __future__ import annotations

from pathlib import Path

from edgeinfer import load_pipeline, open_source
from edgeinfer.model.card import asset_path


def test_detectors_agree_on_the_raw_labels_of_the_demo(yunet: Path) -> None:
    pipelines = load_pipeline(), load_pipeline(detector="yunet", detector_model=yunet)
    equal = []
    with open_source(asset_path("demo.mp4")) as source:
        for frame in source:
            found = [pipeline(frame.image, timestamp_s=frame.timestamp_s).faces for pipeline in pipelines]
            equal += [
                one.raw.label == other.raw.label
                for one in found[0]
                for other in found[1]
                if one.box.iou(other.box) > 0.3
            ]
    assert len(equal) > 50
    assert sum(equal) / len(equal) >= 0.95
