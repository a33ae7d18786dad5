"""Bounded reader for the XML of cascade files, independent of OpenCV.

Expat parses the file without recursion. A document type definition, which could define entities, is refused.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from dataclasses import dataclass, field
from typing import NoReturn

MAX_ELEMENTS = 400_000
MAX_DEPTH = 16
MAX_NUMBER = 1e30
"""Largest absolute value of a number; OpenCV stores numbers as float32."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")


@dataclass(slots=True)
class Element:
    """One XML element.

    Attributes:
        tag: Name of the element.
        text: Character data directly in the element.
        children: Elements in the element, in order.
    """

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """Return the only child with a name, or None.

        Raises:
            ValueError: There is more than one such child.
        """
        found = [child for child in self.children if child.tag == tag]
        if len(found) > 1:
            raise ValueError(f"more than one {tag[:40]} in {self.tag[:40]}")
        return found[0] if found else None

    def child(self, tag: str) -> Element:
        """Return the only child with a name.

        Raises:
            ValueError: There is no such child, or more than one.
        """
        found = self.find(tag)
        if found is None:
            raise ValueError(f"no {tag} in {self.tag[:40]}")
        return found

    def items(self) -> list[Element]:
        """Return the children of a sequence, all of which have the name "_".

        Raises:
            ValueError: The element contains text or another child.
        """
        if self.text.strip() or any(child.tag != "_" for child in self.children):
            raise ValueError(f"{self.tag[:40]} is not a sequence")
        return self.children

    def numbers(self) -> list[float]:
        """Return the finite numbers in the text of an element without children.

        Raises:
            ValueError: The element contains anything else.
        """
        words = self.text.split()
        if self.children or not all(len(word) <= 40 and _NUMBER.fullmatch(word) for word in words):
            raise ValueError(f"{self.tag[:40]} contains something other than numbers")
        values = [float(word) for word in words]
        if not all(abs(value) <= MAX_NUMBER for value in values):
            raise ValueError(f"{self.tag[:40]} contains a number above {MAX_NUMBER:g}")
        return values

    def number(self) -> float:
        """Return the only number in the text.

        Raises:
            ValueError: The element does not contain exactly one number.
        """
        values = self.numbers()
        if len(values) != 1:
            raise ValueError(f"{self.tag[:40]} is not one number")
        return values[0]

    def integer(self, low: int, high: int) -> int:
        """Return the only number in the text, an integer in a range.

        Raises:
            ValueError: The element does not contain exactly one such number.
        """
        return whole(self.number(), low, high, self.tag)


def whole(value: float, low: int, high: int, name: str) -> int:
    """Return a number as int.

    Raises:
        ValueError: The number is not an integer from `low` to `high`.
    """
    if not (low <= value <= high and value == int(value)):
        raise ValueError(f"{name[:40]} is {value:g}, expected an integer in {low}..{high}")
    return int(value)


def parse_xml(data: bytes) -> Element:
    """Return the root element of an XML document.

    Raises:
        ValueError: The document is not well-formed, has a document type definition or is too large.
    """
    builder = _Builder()
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        parser.Parse(data, True)
    except (xml.parsers.expat.ExpatError, LookupError) as error:  # LookupError: unknown encoding
        raise ValueError(f"not well-formed XML ({error})") from error
    return builder.root.children[0]


class _Builder:
    """Handlers that build the tree of elements."""

    def __init__(self) -> None:
        self.root = Element("")
        self._open = [self.root]
        self._count = 0

    def refuse_doctype(self, *_: object) -> NoReturn:
        raise ValueError("it has a document type definition")

    def start(self, tag: str, _: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise ValueError(f"it has more than {MAX_ELEMENTS} elements or {MAX_DEPTH} levels")
        element = Element(tag)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].text += data
