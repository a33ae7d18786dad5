"""Live preview in a browser, and an HTTP API; the pages and the OpenAPI description are in `page/`."""

from edgeinfer.outputs.preview.access import ListenAddress, check_access
from edgeinfer.outputs.preview.sink import PreviewSink

__all__ = ["ListenAddress", "PreviewSink", "check_access"]
