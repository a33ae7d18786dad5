"""A page that shows a run in a browser: the picture, what its faces showed in the last minute, how it fares."""

from edgeinfer.outputs.preview.access import ListenAddress, check_access
from edgeinfer.outputs.preview.sink import PreviewSink

__all__ = ["ListenAddress", "PreviewSink", "check_access"]
