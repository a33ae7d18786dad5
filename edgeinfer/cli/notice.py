"""Printed notice for the people in view of a camera."""

from __future__ import annotations

import textwrap

WIDTH = 60


def format_notice(*, operator: str, contact: str, purpose: str, kept: str = "nothing") -> str:
    """Return the text of a notice.

    A deployer of an emotion recognition system must inform the people exposed to it (Regulation (EU) 2024/1689, Article
    50(3)); Article 13 of the General Data Protection Regulation also requires operator, contact, purpose and storage.
    A notice is part of that duty, not all of it.

    Args:
        operator: Operator of the camera.
        contact: Contact for questions and objections.
        purpose: Purpose of the processing.
        kept: Data that is stored, and for how long.
    """
    paragraphs = (
        "A camera here estimates facial expressions by computer: which expression an observer would perceive in a "
        "face. It does not measure what you feel, it makes mistakes, and no decision about you may be based on it.",
        f"Purpose: {purpose}",
        f"Stored data: {kept}",
        f"Operator: {operator}",
        f"Questions and objections: {contact}",
        "The pictures are processed by a program on site. You do not have to be recorded: ask for a way around.",
    )
    body = "\n\n".join(textwrap.fill(" ".join(paragraph.split()), WIDTH) for paragraph in paragraphs)
    heading = "FACIAL EXPRESSIONS ARE ANALYSED HERE"
    return f"{heading.center(WIDTH).rstrip()}\n\n{body}\n"
