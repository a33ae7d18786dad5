"""Colours of the expressions, the same in annotated frames, the preview, reports and plots.

The colours are those of M. Okabe and K. Ito, "Color Universal Design", 2008 (https://jfly.uni-koeln.de/color/), which
readers with any common colour vision deficiency can tell apart; black is replaced by two greys. Labels of other
models receive a colour of P. Tol's scheme "muted", in "Colour Schemes", SRON technical note EPS/TN/09-002, 2021.
"""

from __future__ import annotations

import zlib

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
_OTHER_COLOURS = ("#332288", "#117733", "#882255", "#999933", "#44aa99", "#aa4499", "#cc6677", "#ddcc77")


def expression_colour(label: str) -> str:
    """Return the colour of a label as "#rrggbb".

    Args:
        label: Any label. Other common names of an expression, such as "happiness", and other letter cases receive its
            colour; a different label always receives the same colour, which it may share with another label.

    Examples:
        >>> expression_colour("happy"), expression_colour("Anger"), expression_colour("bored")
        ('#f0e442', '#d55e00', '#332288')
    """
    name = label.casefold()
    colour = EXPRESSION_COLOURS.get(_OTHER_NAMES.get(name, name))
    return colour or _OTHER_COLOURS[zlib.crc32(label.encode(errors="replace")) % len(_OTHER_COLOURS)]


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
