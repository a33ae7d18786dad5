"""A model file and what it says of itself: the one place where a session is made."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.errors import ModelError
from edgeinfer.model.card import INPUT_NAME, OUTPUT_NAME, ModelCard, _read

MAX_WORKING_BYTES = 2**30
"""Of weights and intermediate results together, for all bounded sessions of a process."""
MAX_BATCH = 16
"""Pictures in one call of onnxruntime, so that a crowd stays within that: VGG16 at 224 pixels does with 16."""

_BOUNDS = {
    "session.use_env_allocators": "1",
    # Versions that do not know it ignore it.
    "optimization.constant_folding_max_output_size_in_bytes": str(MAX_WORKING_BYTES // 16),
}


def load_session(path: Path, *, threads: int = 1, bounded: bool = False) -> tuple[ort.InferenceSession, ModelCard]:
    """Check a model file and make it ready to run on the CPU.

    Args:
        path: an ONNX file with our metadata.
        threads: cores for one call, 1 or more.
        bounded: share at most `MAX_WORKING_BYTES` with all other such sessions, as a stranger's model should; not
            for large batches or many models at once.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it is no ONNX model, does not say how to use it, or may not be loaded.
    """
    card, data = _read(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if bounded:
        _make_pool()
        for key, value in _BOUNDS.items():
            options.add_session_config_entry(key, value)
    try:
        # Its fallback would print the error and try the same again.
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        given, made = session.get_inputs()[0], session.get_outputs()[0]
        shapes = given.type, list(given.shape), list(made.shape)
    except Exception as error:  # onnxruntime's own exceptions share no other base
        raise ModelError(f"{path} cannot be run by onnxruntime {ort.__version__}: {_first_line(error)}") from error
    _check_shapes(*shapes, card, path)
    return session, card


def infer(session: ort.InferenceSession, batch: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """The logits of a batch.

    Args:
        session: from `load_session`.
        batch: (N, H, W, C) uint8, at least one.
        classes: number of logits that the model promises for each picture.

    Returns:
        (N, classes), all finite.

    Raises:
        ModelError: the model cannot be run, or gives something else.
    """
    parts = (batch[start : start + MAX_BATCH] for start in range(0, len(batch), MAX_BATCH))
    try:
        logits = np.concatenate([session.run([OUTPUT_NAME], {INPUT_NAME: part})[0] for part in parts])
        logits = logits.astype(np.float64)
    except Exception as error:  # onnxruntime's own exceptions share no other base
        raise ModelError(f"the model fails while it runs: {_first_line(error)}; export it again") from error
    if logits.shape != (len(batch), classes) or not np.isfinite(logits).all():
        raise ModelError(
            f"the model does not give {classes} finite numbers for each of {len(batch)} faces; export it again"
        )
    return logits


@cache
def _make_pool() -> None:
    """Make what sessions with `session.use_env_allocators` take their memory from."""
    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(cpu, ort.OrtArenaCfg(MAX_WORKING_BYTES, -1, -1, -1))


def _check_shapes(kind: str, given: list[Any], made: list[Any], card: ModelCard, path: Path) -> None:
    wanted = [*card.size_hw, card.channels]
    if kind != "tensor(uint8)" or given[1:] != wanted or isinstance(given[0], int):
        raise ModelError(f"{path} takes {kind} {given}; its metadata promise uint8 (batch, {wanted})")
    if len(made) != 2 or made[1] != len(card.labels):
        raise ModelError(f"{path} gives {made}; its metadata promise {len(card.labels)} logits a face")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
