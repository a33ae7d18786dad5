"""Values and operators of a graph during shape propagation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeinfer.model.onnx_reader import Node


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the graph.

    Attributes:
        shape: All dimensions.
        elements: Elements of a short tensor, or None if unknown.
    """

    shape: tuple[int, ...]
    elements: tuple[float, ...] | None = None

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


Inputs = list[Value | None]


class Operation:
    """One node with its input values."""

    def __init__(self, node: Node, inputs: Inputs) -> None:
        self.node, self.inputs = node, inputs
        self._integers = dict(node.integers)

    def value(self, index: int) -> Value:
        """Return a required input.

        Raises:
            ValueError: The input is absent.
        """
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise ValueError("an absent input")
        return value

    def elements(self, index: int) -> tuple[float, ...] | None:
        """Return the elements of an optional input, or None if it is absent.

        Raises:
            ValueError: The input is present, but its elements are unknown.
        """
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            return None
        if value.elements is None:
            raise ValueError("an output size that is not known from the file")
        return value.elements

    def integers(self, name: str, index: int | None = None) -> tuple[int, ...] | None:
        """Return an attribute, which is an input in later versions of the operator, or None if it is absent."""
        values = self._integers.get(name)
        if values is None and index is not None:
            elements = self.elements(index)
            values = None if elements is None else tuple(int(n) for n in elements)
        return values

    def integer(self, name: str, default: int) -> int:
        """Return an attribute with one integer."""
        return self._integers.get(name, (default,))[0]

    def axis(self, default: int, rank: int) -> int:
        """Return the attribute `axis` as 0..rank."""
        return checked_axis(self.integer("axis", default), rank)


def checked_axis(axis: int, rank: int) -> int:
    """Return an axis as 0..rank, counted from the end if negative.

    Raises:
        ValueError: The axis is out of range.
    """
    axis += rank if axis < 0 else 0
    if not 0 <= axis <= rank:
        raise ValueError("an axis out of range")
    return axis
