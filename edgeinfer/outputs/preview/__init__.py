"""A page that shows a run in a browser: the picture, what its faces showed in the last minute, how it fares."""

from edgeinfer.preview.address import Address, check_access
from edgeinfer.preview.sink import PreviewSink

__all__ = ["Address", "PreviewSink", "check_access"]
