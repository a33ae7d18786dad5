"""Colours of the expressions, the same in annotated frames, the preview, reports and plots.

The colours are those of M. Okabe and K. Ito, "Color Universal Design", 2008 (https://jfly.uni-koeln.de/color/), which
readers with any common colour vision deficiency can tell apart; black is replaced by two greys. Labels of other
models receive further colours.
"""

from __future__ import annotations

from collections.abc import Iterable

EXPRESSION_COLOURS: dict[str, str] = {
    "neutral": "#cccccc",
    "happy": "#f0e442",
    "surprise": "#e69f00",
    "sad": "#0072b2",
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "contempt": "#56b4e9",
    "unknown": "#666666",
}
"""Colour of each expression and of `unknown`, as "#rrggbb"."""

_OTHER_NAMES = {
    "happiness": "happy", "joy": "happy", "surprised": "surprise", "sadness": "sad", "anger": "angry",
    "disgusted": "disgust", "fearful": "fear",
}  # fmt: skip
OTHER_COLOURS = (
    "#8778ff", "#872d00", "#3c2dc3", "#870078", "#b4ffd2", "#78c387", "#b43c2d", "#3c5ae1", "#78f096", "#c32d96",
    "#f05a69", "#87e1ff", "#5a87d2", "#96004b", "#f0c34b", "#ff87c3", "#4b3c96", "#69ffff", "#96c3ff", "#d2872d",
    "#7896ff", "#ff9669", "#873c78", "#c3ff87",
)  # fmt: skip
"""Colours of other labels, the most distinct first.

Each is the farthest from all before it (as in C. Glasbey et al., "Colour displays for categorical images", Color
Research and Application 32(4), 2007) among the sRGB colours in steps of 15 with a lightness of 0.42..0.94 and a chroma
of 0.08..0.22. The distance is Euclidean in Oklab (B. Ottosson, 2020): the smallest of that for common vision and 1.3
times those for protanopia and deuteranopia.
"""


def label_colours(labels: Iterable[str]) -> dict[str, str]:
    """Return the colour of each label as "#rrggbb".

    Other common names of an expression, such as "happiness", and other letter cases receive its colour. All other
    labels receive different colours, up to 24 of them; these depend on the set of labels, not on their order.

    Args:
        labels: All labels of a model, and `unknown` if it is shown.

    Examples:
        >>> label_colours(["happy", "Anger", "tired", "bored"])
        {'happy': '#f0e442', 'Anger': '#d55e00', 'tired': '#872d00', 'bored': '#8778ff'}
    """
    names = dict.fromkeys(labels)
    standard = {_OTHER_NAMES.get(name.casefold(), name.casefold()): name for name in sorted(names)}
    standard |= {name: name for name in names}  # the exact name takes precedence over a synonym
    colours = {name: EXPRESSION_COLOURS[key] for key, name in standard.items() if key in EXPRESSION_COLOURS}
    others = sorted(name for name in names if name not in colours)
    colours |= {name: OTHER_COLOURS[place % len(OTHER_COLOURS)] for place, name in enumerate(others)}
    return {name: colours[name] for name in names}


def text_colour(background: str) -> str:
    """Return "#000000" or "#ffffff", whichever has the higher contrast on a background.

    The contrast is the ratio of relative luminances of WCAG 2.2; it is at least 4.5 on every colour.

    Args:
        background: Colour as "#rrggbb".

    Examples:
        >>> text_colour("#f0e442"), text_colour("#0072b2")
        ('#000000', '#ffffff')
    """
    luminance = _relative_luminance(background)
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"


def _relative_luminance(colour: str) -> float:
    """Return the relative luminance of a "#rrggbb" colour in sRGB, from 0 for black to 1 for white."""
    channels = [value / 255 for value in bytes.fromhex(colour[1:])]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
