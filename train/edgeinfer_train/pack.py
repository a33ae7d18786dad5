"""A trained model at half its size, to keep or to pass on."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from edgeinfer.errors import OutputError
from edgeinfer_train.networks.model import MODEL_FILE, read_model_info

WEIGHTS_MEMBER = "model.weights.h5"


def pack(model: Path, out: Path) -> None:
    """Write a model with its weights in float16; it loads, teaches and exports like any other, computing in float32.

    Rounding moves each weight by up to 0.05 %, which changes hardly any answer.

    Args:
        model: a run folder or a `.keras` file.
        out: the `.keras` file to write; an older one stays until the new one is whole.

    Raises:
        ModelNotFoundError: there is no such model.
        ModelError: it is none of ours.
        OutputError: the file cannot be written.
    """
    source = model / MODEL_FILE if model.is_dir() else model
    read_model_info(source)
    partial = out.with_name(f".{out.stem}.partial.keras")
    try:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, _halved(content) if name == WEIGHTS_MEMBER else content)
        partial.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _halved(content: bytes) -> bytes:
    """The same HDF5 file with every float32 in float16."""
    made = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as old, h5py.File(made, "w") as new:
        new.attrs.update(old.attrs)

        def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copy = new.require_group(name)
            else:
                values = np.asarray(item)
                copy = new.create_dataset(
                    name, data=values.astype(np.float16) if values.dtype == np.float32 else values
                )
            copy.attrs.update(item.attrs)

        old.visititems(keep)
    return made.getvalue()
