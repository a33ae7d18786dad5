"""Admission rules for third-party model files, applied to the file before Keras builds the network."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from edgeinfer.errors import EdgeInferError, ModelError, ModelNotFoundError, one_line
from edgeinfer_export.errors import ExportError, first_line

CONFIG_MEMBER = "config.json"
ZIP_SIGNATURE = b"PK\x03\x04"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_CONFIG = 32 * 2**20
"""Maximum size of the JSON architecture, in bytes; that of EfficientNetB7, one of the deepest networks, is 1 MB."""
MAX_MEMBER = 4 * 2**30
"""Maximum size of one archive member after decompression, in bytes."""
MAX_EXPANSION = 100
"""Maximum ratio of the decompressed to the compressed size of a member. Keras stores weights uncompressed."""
MAX_WEIGHTS = 2**30
"""Maximum size of one stored array, in bytes."""
MAX_OBJECTS = 100_000
"""Maximum number of groups and arrays in a weights file."""
MAX_LAYERS = 5000

CODE_LAYERS = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__"})
"""Classes that execute code from the file or from other files."""
FILE_LAYERS = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
"""Layers that read files named in their configuration."""
_PARTS = (
    "activations", "applications", "constraints", "dtype_policies", "initializers", "layers", "legacy", "models", "ops",
    "quantizers", "random", "regularizers",
)  # fmt: skip
MODULES = ("keras", *(f"{root}.{part}" for root in ("keras", "keras.src", "tensorflow.keras") for part in _PARTS))
"""Modules from which a file may name classes. `keras.utils` and `keras.saving` would give it access to files."""
NOT_BUILT = frozenset({"compile_config", "build_config"})


def check_model_file(path: Path) -> None:
    """Refuse a file that contains code, is not a complete model, or needs excessive memory.

    Args:
        path: Zip archive (`.keras`) or HDF5 file (`.h5`).

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The file is neither a `.keras` archive nor an HDF5 file.
        ExportError: The file is damaged, too large, or contains something that cannot be exported.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}: expected a run folder, or a .keras, .h5 or .onnx file")
    try:
        with path.open("rb") as file:
            signature = file.read(8)
        if zipfile.is_zipfile(path):
            config = _check_archive(path)
        elif signature == HDF5_SIGNATURE:
            config = _check_hdf5(path)
        elif signature.startswith(ZIP_SIGNATURE):
            raise ModelError(f"{path} is damaged: the end of the archive is missing")
        else:
            raise ModelError(
                f"{path} is not a model: expected a file that edgeinfer-train fit or Keras wrote, or an .onnx file"
            )
        _check_config(path, config)
    except EdgeInferError:
        raise
    except Exception as error:  # the type of the exception depends on the damaged part of the file
        raise ExportError(f"{path} is damaged: {one_line(first_line(error))}") from error


def is_hdf5(path: Path) -> bool:
    """Return True if a file has the signature of HDF5, in which Keras 2 saved models."""
    with path.open("rb") as file:
        return file.read(8) == HDF5_SIGNATURE


def _check_archive(path: Path) -> Any:
    """Check the sizes in an archive and its weights; return the configuration."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        for name, info in members.items():
            limit = MAX_MEMBER if name.endswith(".h5") else MAX_CONFIG
            if info.file_size > limit:
                raise ExportError(f"{path} contains the member {_short(name)} of {_mb(info.file_size)}: at most "
                                  f"{_mb(limit)} are read")  # fmt: skip
            if info.file_size > 2**20 + MAX_EXPANSION * info.compress_size:
                raise ExportError(f"{path} contains the member {_short(name)}, which expands more than "
                                  f"{MAX_EXPANSION} times: save the model again with Keras")  # fmt: skip
        if CONFIG_MEMBER not in members:
            raise ExportError(f"{path} contains no {CONFIG_MEMBER}: expected a model saved by model.save()")
        for name in members:
            if name.endswith(".h5"):
                # A member of an archive seeks backwards by reading it again from its start.
                with archive.open(name) as member, tempfile.TemporaryFile() as copy:
                    shutil.copyfileobj(member, copy)
                    with h5py.File(copy, "r") as weights:
                        _check_weights(path, weights)
        return json.loads(archive.read(CONFIG_MEMBER))


def _check_hdf5(path: Path) -> Any:
    """Check the weights of an HDF5 file; return the configuration."""
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise ExportError(
                f"{path} contains weights without an architecture: build the model, call model.load_weights(), and "
                "save it with model.save() as a .keras file"
            )
        _check_weights(path, file)
    return json.loads(config)


def _check_weights(path: Path, file: h5py.File) -> None:
    """Refuse links to other files, and arrays whose declared size is excessive."""
    pending: list[h5py.Group] = [file]
    count = 0
    while pending:
        group = pending.pop()
        for name in group:
            count += 1
            if count > MAX_OBJECTS:
                raise ExportError(f"{path} contains more than {MAX_OBJECTS} arrays")
            item = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif item is None or item.external or item.is_virtual:
                raise ExportError(f"{path} contains the link {_short(name)} to other data: save the model again")
            elif item.size is not None and item.size * item.dtype.itemsize > MAX_WEIGHTS:
                raise ExportError(f"{path} contains the array {_short(name)} of {_mb(item.size * item.dtype.itemsize)}"
                                  f": at most {_mb(MAX_WEIGHTS)} are read")  # fmt: skip


def _check_config(path: Path, config: Any) -> None:
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise ExportError(f"{path} contains no model configuration: expected a model saved by model.save()")
    if "module" in config and not _is_builtin(config):
        raise ExportError(
            f"{path} is a subclassed model of the class {_class_name(config)}, which only its own code can rebuild: "
            "define it as keras.Sequential or with the functional API and save it again"
        )
    layers = 0
    for entry in _objects(config):
        name, label = _class_name(entry), _layer_name(entry)
        layers += "inbound_nodes" in entry or "build_config" in entry
        if name in CODE_LAYERS:
            raise ExportError(
                f"{path} contains the {name} layer{label}, whose code is not executed: replace it with built-in "
                "layers, for example Rescaling, and save the model again"
            )
        if name in FILE_LAYERS:
            raise ExportError(f"{path} contains the {name} layer{label}, which processes text: remove it")
        if not _is_builtin(entry):
            raise ExportError(
                f"{path} contains the custom class {name}{label}: replace it with built-in layers and save the model "
                "again"
            )
    if layers > MAX_LAYERS:
        raise ExportError(f"{path} has {layers} layers: at most {MAX_LAYERS} are accepted")


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every serialized object, without those that are not needed for inference."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "class_name" in value and value["class_name"] != "__keras_tensor__":
                yield value
            pending.extend(item for key, item in value.items() if key not in NOT_BUILT)
        elif isinstance(value, list):
            pending.extend(value)


def _is_builtin(entry: dict[str, Any]) -> bool:
    """Return True if Keras itself, or a registered class of this package, defines an object."""
    module, registered = entry.get("module"), entry.get("registered_name")
    if isinstance(registered, str) and keras.saving.get_registered_object(registered) is not None:
        return True
    if module is None or (module == "builtins" and _class_name(entry) == "function"):
        # Keras 2 names no module; a custom class is then unknown to Keras, which refuses it.
        return not (isinstance(registered, str) and ">" in registered) and ">" not in _class_name(entry)
    return module == MODULES[0] or (
        isinstance(module, str) and any(f"{module}.".startswith(f"{name}.") for name in MODULES[1:])
    )


def _class_name(entry: dict[str, Any]) -> str:
    return _short(str(entry["class_name"])) if "class_name" in entry else "unknown"


def _layer_name(entry: dict[str, Any]) -> str:
    config = entry.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return f" {_short(name)}" if isinstance(name, str) else ""


def _short(name: str) -> str:
    return one_line(name[:60])


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
