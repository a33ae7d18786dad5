"""Exception raised by an export, with its exit code for the command line.

    EdgeInferError
    └── ExportError(RuntimeError)         a model cannot be read, converted or published; exit code 5

Invalid options raise `edgeinfer.errors.UsageError` (2), unwritable files `edgeinfer.errors.OutputError` (6), and
unusable faces `edgeinfer_train.errors.DataError` (4).
"""

from __future__ import annotations

from edgeinfer.errors import EdgeInferError


class ExportError(EdgeInferError, RuntimeError):
    """A model cannot be read or converted, or its ONNX form fails a check."""

    exit_code = 5


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
