"""Exceptions raised by training, with their exit codes on the command line.

EdgeInferError
└── TrainError
    ├── ConfigError(ValueError)         invalid setting, exit code 2
    ├── DataError(ValueError)           unusable data set, exit code 4
    ├── RunError(RuntimeError)          unusable run folder, exit code 6
    └── DivergedError(ArithmeticError)  loss that is not finite, exit code 1
"""

from __future__ import annotations

from edgeinfer.errors import EdgeInferError


class TrainError(EdgeInferError):
    """Base class of all expected training errors."""


class ConfigError(TrainError, ValueError):
    """A setting is unknown, has the wrong type or is out of range."""

    exit_code = 2


class DataError(TrainError, ValueError):
    """A data set is missing, has an unexpected layout, or has too few faces."""

    exit_code = 4


class RunError(TrainError, RuntimeError):
    """A run folder cannot be used or written."""

    exit_code = 6


class DivergedError(TrainError, ArithmeticError):
    """The loss is not finite."""
