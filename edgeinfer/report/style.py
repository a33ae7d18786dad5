"""Colours and patterns of the expressions on the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgeinfer.outputs.palette import label_colours, text_colour

_MARKS = {
    "neutral": "",
    "happy": "M2 2h2v2h-2zM6 6h2v2h-2z",
    "surprise": "M2 0v8M6 0v8",
    "sad": "M-1 1l2-2M0 8l8-8M7 9l2-2",
    "angry": "M-1 7l2 2M0 0l8 8M7-1l2 2",
    "disgust": "M0 2h8M0 6h8",
    "fear": "M0 0l8 8M0 8l8-8",
    "contempt": "M4 0v8M0 4h8",
    "unknown": "M1 1h1v1h-1zM5 5h1v1h-1z",
}
_OTHER_MARKS = ("M0 4h8", "M4 0v8", "M0 8l8-8", "M0 0l8 8", "M2 2h4v4h-4z")


@dataclass(frozen=True, slots=True)
class ExpressionStyle:
    """Colour and pattern of one expression.

    Attributes:
        colour: Colour as "#rrggbb".
        ink: Colour of the pattern's lines.
        mark: SVG path of the pattern in a tile of 8x8 units, or "".
    """

    colour: str
    ink: str
    mark: str


def styles_of(labels: Sequence[str], of_models: Iterable[str] = ()) -> list[ExpressionStyle]:
    """Return the style of each label.

    The pattern distinguishes labels where colours cannot, for example in greyscale print. Labels of other models cycle
    through the patterns.

    Args:
        labels: Labels of the page.
        of_models: All labels of the models, which determine the colours as in annotated videos.
    """
    colours, styles, others = label_colours((*of_models, *labels)), list[ExpressionStyle](), 0
    for label in labels:
        colour = colours[label]
        mark = _MARKS.get(label)
        if mark is None:
            mark, others = _OTHER_MARKS[others % len(_OTHER_MARKS)], others + 1
        styles.append(ExpressionStyle(colour, text_colour(colour), mark))
    return styles


def style_rules(styles: Sequence[ExpressionStyle]) -> str:
    """Return the CSS rules of the classes `eN` (pattern), `bN` (plain colour) and `iN` (lines of the pattern)."""
    return "\n".join(rule for number, style in enumerate(styles) for rule in _rules(number, style))


def _rules(number: int, style: ExpressionStyle) -> Iterator[str]:
    yield f":root {{ --expression-{number}: {style.colour}; }}"
    yield f".e{number} {{ fill: url(#p{number}); }}"
    yield f".b{number} {{ fill: var(--expression-{number}); }}"
    yield f".i{number} {{ fill: none; stroke: {style.ink}; stroke-opacity: .3; }}"
