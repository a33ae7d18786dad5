"""Creation of onnxruntime sessions. No other module creates one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, shown_path
from edgeinfer.model.card import EMBEDDING_NAME, INPUT_NAME, OUTPUT_NAME, ModelCard, read_model
from edgeinfer.model.cost import MAX_BATCH
from edgeinfer.system import interrupts

MAX_WORKING_BYTES = 2**30
"""Memory limit in bytes for weights and intermediate results together, shared by all bounded sessions of a process."""
MAX_LOGIT = 1e39
"""Maximum absolute value of a logit, beyond the float32 range; a division by the temperature stays finite."""
MAX_EMBEDDING = 2**16
"""Maximum number of values of an embedding."""

_BOUNDS = {
    "session.use_env_allocators": "1",
    # Older versions ignore this key.
    "optimization.constant_folding_max_output_size_in_bytes": str(MAX_WORKING_BYTES // 16),
}


def load_session(path: Path, *, threads: int = 1, bounded: bool = False) -> tuple[ort.InferenceSession, ModelCard]:
    """Validate a model file and create a CPU session for it.

    Args:
        path: ONNX file with edgeinfer metadata.
        threads: Number of threads per call, 1 or more.
        bounded: Limit the memory of this and all other bounded sessions together to `MAX_WORKING_BYTES`. Recommended
            for untrusted models; unsuitable for large batches or many models at once.

    Returns:
        The session and the model card.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The file is not an ONNX model, lacks metadata or violates the admission rules.
    """
    card, data = read_model(path)
    session = create_session(data, path, threads=threads, bounded=bounded)
    try:
        source, target = session.get_inputs()[0], session.get_outputs()[0]
        shapes = source.type, list(source.shape), list(target.shape)
        embeddings = [(output.type, list(output.shape)) for output in session.get_outputs()[1:]]
    except Exception as error:  # onnxruntime's exceptions have no other common base class
        raise _unusable(path, error) from error
    _check_shapes(*shapes, card, path)
    for kind, shape in embeddings:
        if kind != "tensor(float)" or len(shape) != 2 or shape[1] not in range(1, MAX_EMBEDDING + 1):
            raise ModelError(
                f"{shown_path(path)} has the embedding {kind} {shape}; expected tensor(float) ['batch', values] with "
                f"at most {MAX_EMBEDDING} values"
            )
    return session, card


def create_session(data: bytes, path: Path, *, threads: int = 1, bounded: bool = False) -> ort.InferenceSession:
    """Create a CPU session for a model that passed its admission rules.

    Args:
        data: Serialized model.
        path: File of the model, for error messages.
        threads: Number of threads per call, 1 or more.
        bounded: Limit the memory of all bounded sessions, see `load_session`.

    Raises:
        ModelError: onnxruntime rejects the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if bounded:
        _register_arena()
        for key, value in _BOUNDS.items():
            options.add_session_config_entry(key, value)
    try:
        # The fallback would print the error and retry with the same provider.
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions have no other common base class
        raise _unusable(path, error) from error


def infer(session: ort.InferenceSession, batch: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Return the logits of a batch of faces.

    Args:
        session: Session from `load_session`.
        batch: (N, H, W, C) uint8 array with N of 1 or more.
        classes: Number of labels of the model.

    Returns:
        (N, classes) float64 array of finite logits.

    Raises:
        ModelError: The model fails, or its output has an unexpected shape or non-finite values.
    """
    parts = (batch[start : start + MAX_BATCH] for start in range(0, len(batch), MAX_BATCH))
    try:
        logits = np.concatenate([session.run([OUTPUT_NAME], {INPUT_NAME: part}, _run_options())[0] for part in parts])
        logits = logits.astype(np.float64)
    except Exception as error:  # onnxruntime's exceptions have no other common base class
        interrupts.check()
        raise ModelError(f"inference failed: {_first_line(error)}; export the model again") from error
    if logits.shape != (len(batch), classes) or not (np.abs(logits) <= MAX_LOGIT).all():
        raise ModelError(
            f"the model output has the shape {logits.shape} or values that are not finite; expected "
            f"{(len(batch), classes)} finite logits, so export the model again"
        )
    return logits


def infer_embeddings(session: ort.InferenceSession, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the embeddings of a batch of faces.

    Args:
        session: Session from `load_session` of a model with embeddings.
        batch: (N, H, W, C) uint8 array with N of 1 or more.

    Returns:
        (N, D) float32 array of finite values.

    Raises:
        ModelError: The model fails, or returns an unexpected shape or values that are not finite.
    """
    parts = (batch[start : start + MAX_BATCH] for start in range(0, len(batch), MAX_BATCH))
    embeddings = np.concatenate([run_session(session, [EMBEDDING_NAME], {INPUT_NAME: part})[0] for part in parts])
    if embeddings.ndim != 2 or len(embeddings) != len(batch) or not np.isfinite(embeddings).all():
        raise ModelError(
            f"the embeddings have the shape {embeddings.shape} or values that are not finite; export the model again"
        )
    return embeddings


def run_session(
    session: ort.InferenceSession, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    """Return the outputs of a network.

    Args:
        session: Session from `create_session`.
        outputs: Names of the outputs.
        inputs: Array of each input, by name.

    Raises:
        ModelError: The network fails.
    """
    try:
        return [np.asarray(output) for output in session.run(outputs, inputs, _run_options())]
    except Exception as error:  # onnxruntime's exceptions have no other common base class
        interrupts.check()
        raise ModelError(f"inference failed: {_first_line(error)}") from error


@cache
def _run_options() -> ort.RunOptions:
    """Return the run options of all inferences, through which a signal terminates them."""
    options = ort.RunOptions()
    interrupts.on_interrupt(lambda: setattr(options, "terminate", True))
    return options


@cache
def _register_arena() -> None:
    """Register the memory arena of sessions with `session.use_env_allocators`."""
    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(cpu, ort.OrtArenaCfg(MAX_WORKING_BYTES, -1, -1, -1))


def _check_shapes(dtype: str, input_shape: list[Any], output_shape: list[Any], card: ModelCard, path: Path) -> None:
    expected = [*card.size_hw, card.channels]
    if dtype != "tensor(uint8)" or input_shape[1:] != expected or isinstance(input_shape[0], int):
        raise ModelError(
            f"{shown_path(path)} has the input {dtype} {input_shape}; expected tensor(uint8) ['batch', "
            f"{', '.join(map(str, expected))}] according to its metadata"
        )
    if len(output_shape) != 2 or output_shape[1] != len(card.labels):
        raise ModelError(
            f"{shown_path(path)} has the output shape {output_shape}; expected {len(card.labels)} logits per face "
            "according to its metadata"
        )


def _unusable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{shown_path(path)} cannot be run by onnxruntime {ort.__version__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
