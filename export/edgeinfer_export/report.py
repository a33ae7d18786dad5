"""What an export gives back: plain values, printed on the command line and saved beside the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgeinfer_export.validate import Verdict

VariantName = Literal["fp32", "int8"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the model, measured.

    Attributes:
        name: "fp32" or "int8".
        size_bytes: of the file.
        accuracy: share of faces named right, 0..1; None without faces.
        macro_f1: mean F1 over the labels that have faces, 0..1; None without faces.
        agreement: share of pictures with the same first label as fp32, 0..1.
        latency_ms: median of one face on one thread of this machine.
    """

    name: VariantName
    size_bytes: int
    accuracy: float | None
    macro_f1: float | None
    agreement: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did.

    Attributes:
        model: name of the published file.
        sha256: of that file, hexadecimal.
        source: the run folder or `.keras` file.
        verdict: how the float32 form was approved.
        variants: float32 first; the last one is the published one.
        count: pictures that the variants were measured on.
        split: where these faces come from; None for random pictures.
        calibration_faces: training faces that set the int8 ranges; 0 without int8.
        operators: nodes of the published graph by operator.
        warnings: what the user should know, one sentence each.
        versions: of the packages that made the file.
    """

    model: str
    sha256: str
    source: str
    verdict: Verdict
    variants: tuple[Variant, ...]
    count: int
    split: str | None
    calibration_faces: int
    operators: dict[str, int]
    warnings: tuple[str, ...]
    versions: dict[str, str]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
