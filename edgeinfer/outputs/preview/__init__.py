"""Live preview in a browser: annotated picture, timeline, health and metrics; the page itself is in `page/`."""

from edgeinfer.outputs.preview.access import ListenAddress, check_access
from edgeinfer.outputs.preview.sink import PreviewSink

__all__ = ["ListenAddress", "PreviewSink", "check_access"]
