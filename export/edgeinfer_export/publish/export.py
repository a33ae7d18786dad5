"""Export of one trained model."""

from __future__ import annotations

from pathlib import Path

import keras

from edgeinfer_export.convert.source import read_source
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_export.publish.staging import check_inputs_are_kept, publish, stage, staging_folder, validate_request
from edgeinfer_export.selection.choice import choose
from edgeinfer_export.selection.evaluation import Progress, evaluate_model
from edgeinfer_export.verify.baselines import check_baselines


def export_model(
    source: Path | keras.Model,
    out: Path,
    *,
    data: Path | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Export a trained model as one self-describing ONNX file.

    The file receives its final name only after float32 agrees with the original model and the runtime accepts the
    result. If the export fails, no new file has that name and an existing file is unchanged. The report (`.json`) and
    the model card (`.md`) are written beside the model.

    Args:
        source: Run folder, `.keras` file, `.onnx` classifier or Keras model. A model that `edgeinfer-train fit` did
            not write requires `options.labels` and `data`.
        out: Path of the `.onnx` file.
        data: Prepared folder, required by int8 and auto. Validation faces are used for measurement, training faces for
            calibration.
        options: Options of the export; float32 by default.
        progress: Callback that receives a short description of each step when it starts.

    Returns:
        The report of the export.

    Raises:
        UsageError: `out` does not end in .onnx, or faces or labels are required and missing.
        OutputError: `out` cannot be written.
        ModelError: `source` is missing or not a model, or the runtime rejects the result.
        ExportError: The model cannot be converted or quantized, a check fails, or a run is not better than the most
            frequent label.
        DataError: The faces cannot be used.
        CapabilityError: Keras uses a backend other than TensorFlow.

    >>> import tempfile
    >>> from edgeinfer_train.networks.model import ModelInfo, save_model
    >>> from keras.layers import Dense, Flatten, Input, Rescaling
    >>> model = keras.Sequential([Input((8, 8, 1), dtype="uint8"), Rescaling(1 / 255), Flatten(), Dense(2)])
    >>> info = ModelInfo("none", ("happy", "sad"), "none", "none", {"happy": 0.5, "sad": 0.5}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, info, Path(folder) / "model.keras")
    ...     export_model(Path(folder), Path(folder) / "model.onnx").published
    'fp32'
    """
    options, progress = options or ExportOptions(), progress or (lambda _: None)
    validate_request(out, data, options)
    check_inputs_are_kept(out, [source] if isinstance(source, Path) else [], data)
    if isinstance(source, Path):
        check_baselines(str(source), force=options.force)
    progress(f"reading {source if isinstance(source, Path) else source.name}")
    model = read_source(
        source, labels=options.labels, data=data, input_range=options.input_range, colour=options.colour
    )
    with staging_folder(out) as folder:
        evaluation = evaluate_model(model, options, data=data, folder=folder, progress=progress)
        staged, report = stage(evaluation, choose(evaluation), folder)
        publish(staged, report, out)
    return report
