"""Reduction of a trained model to half its size by storing the weights in float16.

python train/tools/pack.py RUN --out small.keras
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np

from edgeinfer.cli.terminal import execute
from edgeinfer.errors import OutputError
from edgeinfer.system.files import replacing
from edgeinfer_train.networks.model import MODEL_FILE, check_model_path, read_model_info

WEIGHTS_MEMBER = "model.weights.h5"


def pack(model: Path, out: Path) -> None:
    """Write a copy of a model with its weights in float16.

    The copy loads, exports and serves as a teacher like the original, and computes in float32. Rounding changes each
    weight by up to 0.05 %, which has almost no effect on predictions.

    Args:
        model: Run folder or `.keras` file.
        out: The `.keras` file to write; an existing file is replaced only after the new one is complete.

    Raises:
        ModelNotFoundError: The model does not exist.
        ModelError: The file was not written by `edgeinfer-train fit`.
        UsageError: `out` is not a `.keras` file.
        OutputError: The file cannot be written.
    """
    check_model_path(out)
    source = model / MODEL_FILE if model.is_dir() else model
    read_model_info(source)
    try:
        with (
            replacing(out) as partial,
            zipfile.ZipFile(source) as old,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, _to_float16(content) if name == WEIGHTS_MEMBER else content)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def _to_float16(content: bytes) -> bytes:
    """Return the same HDF5 file with every float32 array converted to float16."""
    converted = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as old, h5py.File(converted, "w") as new:
        new.attrs.update(old.attrs)

        def copy_item(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copy = new.require_group(name)
            else:
                values = np.asarray(item)
                copy = new.create_dataset(
                    name, data=values.astype(np.float16) if values.dtype == np.float32 else values
                )
            copy.attrs.update(item.attrs)

        old.visititems(copy_item)
    return converted.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the smaller model."""
    parser = argparse.ArgumentParser(description="Store the weights of a trained model in float16.")
    parser.add_argument("model", type=Path, metavar="RUN|FILE.keras", help="run folder or .keras file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.keras", help="file to write")
    options = parser.parse_args(arguments)
    pack(options.model, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    sys.exit(execute(main, "pack.py"))
