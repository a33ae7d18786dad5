"""Self-contained HTML page of the most confident mistakes, grouped by label and prediction."""

from __future__ import annotations

from html import escape
from pathlib import Path

import cv2

from edgeinfer.report.html import data_uri
from edgeinfer.system.files import write_file
from edgeinfer_train.datasets.load import read_image
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import Evaluation, Mistake
from edgeinfer_train.evaluation.plots import describe_mistakes
from edgeinfer_train.figures import GREY, GRID, VALIDATION

_STYLE = f"""
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }}
h1 {{ font-size: 1.3em }} h2 {{ font-size: 1em; margin: 1.6em 0 .5em; border-top: 1px solid {GRID}; padding-top: .6em }}
b {{ color: {VALIDATION} }} p, figcaption {{ color: {GREY} }}
div {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5em, 1fr)); gap: 1em }}
figure {{ margin: 0 }} img {{ width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated }}
figcaption {{ font-size: .75em; overflow-wrap: anywhere }}
"""


def write_mistakes_page(evaluation: Evaluation, data: Path, path: Path) -> None:
    """Write the page; it contains the faces, so it needs the same protection.

    Args:
        evaluation: Evaluation with the mistakes.
        data: Prepared data folder of the evaluation.
        path: The .html file.

    Raises:
        DataError: A face cannot be read.
        OSError: The file cannot be written.
    """
    groups: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in evaluation.mistakes:
        groups.setdefault((mistake.label, mistake.answer), []).append(mistake)
    sections = [
        f"<h2><bdi>{escape(label)}</bdi> → <b><bdi>{escape(answer)}</bdi></b> ({len(found)})</h2><div>"
        + "".join(_figure(mistake, data) for mistake in found)
        + "</div>"
        for (label, answer), found in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]
    heading = escape(describe_mistakes(evaluation))
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{heading}</h1>'
        f"<p>Label → <b>prediction</b>, with confidence. Labels by {escape(evaluation.label_mode)}.</p>"
        f"{''.join(sections)}</html>\n"
    )
    write_file(path, page)


def _figure(mistake: Mistake, data: Path) -> str:
    encoded, picture = cv2.imencode(".png", read_image(data / mistake.file))
    if not encoded:
        raise DataError(f"{data / mistake.file} cannot be encoded as PNG")
    source, name = data_uri("image/png", picture.tobytes()), escape(Path(mistake.file).name)
    return (
        f'<figure><img src="{source}" alt="{name}">'
        f"<figcaption><b>{mistake.confidence:.3f}</b> {name}</figcaption></figure>"
    )
