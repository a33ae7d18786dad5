"""What can go wrong in an export, with the exit code of the command line.

    EdgeInferError
    └── ExportError(RuntimeError)         a model cannot be read, converted or approved, exit code 5

Options that make no sense are `edgeinfer.errors.UsageError` (2), a file that cannot be written is
`edgeinfer.errors.OutputError` (6), faces that cannot be read are `edgeinfer_train.errors.DataError` (4).
"""

from __future__ import annotations

from edgeinfer.errors import EdgeInferError


class ExportError(EdgeInferError, RuntimeError):
    """A model cannot be read or converted, or its ONNX form is refused."""

    exit_code = 5
