"""A sign for the wall where people are read: what is looked at, by whom, what for, and what is kept."""

from __future__ import annotations

import textwrap

WIDTH = 60


def notice(*, operator: str, contact: str, purpose: str, kept: str = "nothing") -> str:
    """The text of a sign.

    Whoever deploys an emotion recognition system informs the people exposed to it (Regulation (EU) 2024/1689, Article
    50(3)); the General Data Protection Regulation, Article 13, asks for operator, contact, purpose and storage, too. A
    sign is a part of that, not all of it.

    Args:
        operator: who runs the camera.
        contact: where to ask or object.
        purpose: what it is done for.
        kept: what is stored, and how long.
    """
    paragraphs = (
        "A camera here estimates facial expressions by computer: which of seven expressions an onlooker would perceive "
        "in a face. It does not know what you feel, it errs, and no decision about you may rest on it.",
        f"What for: {purpose}",
        f"What is kept: {kept}",
        f"Who runs it: {operator}",
        f"Ask or object: {contact}",
        "The pictures are processed by a program on the spot. You need not be seen by it: ask for a way around.",
    )
    body = "\n\n".join(textwrap.fill(" ".join(paragraph.split()), WIDTH) for paragraph in paragraphs)
    heading = "FACIAL EXPRESSIONS ARE READ HERE"
    return f"{heading.center(WIDTH).rstrip()}\n\n{body}\n"
