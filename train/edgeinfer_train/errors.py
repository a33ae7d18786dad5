"""What can go wrong in training, each with the exit code of the command line.

EdgeInferError
└── TrainError
    ├── ConfigError(ValueError)         a setting, exit code 2
    ├── DataError(ValueError)           the faces or their labels, exit code 4
    ├── RunError(RuntimeError)          a run folder, exit code 6
    └── DivergedError(ArithmeticError)  the loss, exit code 1
"""

from __future__ import annotations

from edgeinfer.errors import EdgeInferError


class TrainError(EdgeInferError):
    """Root of everything that training raises on purpose."""


class ConfigError(TrainError, ValueError):
    """A setting is unknown, of the wrong type or out of bounds."""

    exit_code = 2


class DataError(TrainError, ValueError):
    """A data set is missing, laid out differently or holds too little."""

    exit_code = 4


class RunError(TrainError, RuntimeError):
    """A run folder cannot be used or written."""

    exit_code = 6


class DivergedError(TrainError, ArithmeticError):
    """The loss of a training is no longer finite."""
