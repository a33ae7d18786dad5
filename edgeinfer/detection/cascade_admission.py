"""Admission rules for untrusted cascade files.

OpenCV does not check the structure of a cascade: an index out of range or a rectangle outside the window crashes the
process, sometimes only when the picture contains a face. Therefore the file is parsed here, every number is checked,
and OpenCV receives a new document that contains nothing but the checked numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.detection.cascade_xml import Element, parse_xml, whole

MAX_BYTES = 10 * 2**20
MAX_STAGES = 500
MAX_NODES = 20_000
"""Maximum number of nodes in all trees of all stages together. The largest cascade of OpenCV has 8,468."""
MAX_NODES_PER_TREE = 64
MAX_FEATURES = 20_000
WINDOW = (8, 256)
"""Smallest and largest side of the window in pixels."""
_LBP_CATEGORIES = 256
_MAX_WEIGHT = 1e4


@dataclass(frozen=True, slots=True)
class Tree:
    """One weak classifier.

    Attributes:
        nodes: Left child, right child, feature index and either a threshold or the eight words of an LBP subset.
            A child above 0 is the index of a node; one of 0 or below is the negative index of a leaf.
        leaves: Values of the leaves.
    """

    nodes: tuple[tuple[float, ...], ...]
    leaves: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One boosted stage: a window is rejected if the sum of its leaf values is below the threshold."""

    threshold: float
    trees: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes:
        rectangles: x, y, width and height in pixels of the window, and for Haar features a weight.
        tilted: True for a Haar feature that is rotated by 45 degrees.
    """

    rectangles: tuple[tuple[float, ...], ...]
    tilted: bool = False


@dataclass(frozen=True, slots=True)
class Cascade:
    """Content of a cascade file.

    Attributes:
        kind: "HAAR" or "LBP".
        window_wh: Width and height of the window in pixels.
        stages: Stages in order.
        features: Features in order.
    """

    kind: str
    window_wh: tuple[int, int]
    stages: tuple[Stage, ...]
    features: tuple[Feature, ...]


def read_cascade(data: bytes) -> Cascade:
    """Parse and check a cascade file in either of OpenCV's formats.

    Raises:
        ValueError: The file is not a cascade, or violates a rule; the message follows "FILE is not a valid cascade: ".
    """
    root = parse_xml(data)
    if root.tag != "opencv_storage" or len(root.children) != 1:
        raise ValueError("expected one cascade in opencv_storage")
    node = root.children[0]
    cascade = _read_current(node) if node.find("stageType") or node.find("featureType") else _read_old(node)
    _check(cascade)
    return cascade


def to_xml(cascade: Cascade) -> str:
    """Return a cascade as an XML document in OpenCV's current format."""
    categories = _LBP_CATEGORIES if cascade.kind == "LBP" else 0
    stages = "".join(
        f"<_><maxWeakCount>{len(stage.trees)}</maxWeakCount><stageThreshold>{stage.threshold!r}</stageThreshold>"
        f"<weakClassifiers>{''.join(map(_tree_xml, stage.trees))}</weakClassifiers></_>\n"
        for stage in cascade.stages
    )
    features = "".join(_feature_xml(feature, cascade.kind) for feature in cascade.features)
    width, height = cascade.window_wh
    return (
        '<?xml version="1.0"?>\n<opencv_storage>\n<cascade type_id="opencv-cascade-classifier">'
        f"<stageType>BOOST</stageType><featureType>{cascade.kind}</featureType>"
        f"<height>{height}</height><width>{width}</width>"
        f"<featureParams><maxCatCount>{categories}</maxCatCount></featureParams>"
        f"<stageNum>{len(cascade.stages)}</stageNum>\n<stages>\n{stages}</stages>\n"
        f"<features>\n{features}</features></cascade>\n</opencv_storage>\n"
    )


def _tree_xml(tree: Tree) -> str:
    nodes = " ".join(_numbers(node) for node in tree.nodes)
    return f"<_><internalNodes>{nodes}</internalNodes><leafValues>{_numbers(tree.leaves)}</leafValues></_>\n"


def _feature_xml(feature: Feature, kind: str) -> str:
    if kind == "LBP":
        return f"<_><rect>{_numbers(feature.rectangles[0])}</rect></_>\n"
    rectangles = "".join(f"<_>{_numbers(rectangle)}</_>" for rectangle in feature.rectangles)
    return f"<_><rects>{rectangles}</rects><tilted>{int(feature.tilted)}</tilted></_>\n"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(map(repr, values))


def _read_current(node: Element) -> Cascade:
    stage_type, kind = (node.child(tag).text.strip() for tag in ("stageType", "featureType"))
    if stage_type != "BOOST" or kind not in ("HAAR", "LBP"):
        raise ValueError(
            f"stages of type {stage_type[:20]} with features of type {kind[:20]}, expected BOOST with HAAR or LBP"
        )
    categories = node.child("featureParams").child("maxCatCount").integer(0, _LBP_CATEGORIES)
    if categories != (_LBP_CATEGORIES if kind == "LBP" else 0):
        raise ValueError(f"maxCatCount is {categories} for {kind} features")
    stages = node.child("stages").items()
    _check_count(node.find("stageNum"), len(stages), "stages")
    width, height = (node.child(tag).integer(*WINDOW) for tag in ("width", "height"))
    return Cascade(
        kind,
        (width, height),
        tuple(_read_stage(stage, 3 + (_LBP_CATEGORIES // 32 if kind == "LBP" else 1)) for stage in stages),
        tuple(_read_feature(feature, kind) for feature in node.child("features").items()),
    )


def _read_stage(stage: Element, numbers_per_node: int) -> Stage:
    weak = stage.child("weakClassifiers").items()
    _check_count(stage.find("maxWeakCount"), len(weak), "weak classifiers in a stage")
    return Stage(
        stage.child("stageThreshold").number(),
        tuple(_read_tree(tree, numbers_per_node) for tree in weak),
    )


def _read_tree(tree: Element, numbers_per_node: int) -> Tree:
    values = tree.child("internalNodes").numbers()
    if len(values) % numbers_per_node:
        raise ValueError(f"internalNodes has {len(values)} numbers, expected a multiple of {numbers_per_node}")
    nodes = []
    for start in range(0, len(values), numbers_per_node):
        links = [whole(value, -(2**31), 2**31 - 1, "internalNodes") for value in values[start : start + 3]]
        rest = values[start + 3 : start + numbers_per_node]
        if numbers_per_node > 4:
            rest = [whole(value, -(2**31), 2**31 - 1, "internalNodes") for value in rest]
        nodes.append((*links, *rest))
    return Tree(tuple(nodes), tuple(tree.child("leafValues").numbers()))


def _read_feature(feature: Element, kind: str) -> Feature:
    if kind == "LBP":
        return Feature((_rectangle(feature.child("rect"), 4),))
    rectangles = tuple(_rectangle(rectangle, 5) for rectangle in feature.child("rects").items())
    tilted = feature.find("tilted")
    return Feature(rectangles, tilted is not None and bool(tilted.integer(0, 1)))


def _rectangle(element: Element, count: int) -> tuple[float, ...]:
    values = element.numbers()
    if len(values) != count:
        raise ValueError(f"a rectangle has {len(values)} numbers, expected {count}")
    return (*(whole(value, 0, WINDOW[1], "a rectangle") for value in values[:4]), *values[4:])


def _read_old(node: Element) -> Cascade:
    """Read the format used before OpenCV 2: every node of a tree contains its feature."""
    size = node.child("size").numbers()
    if len(size) != 2:
        raise ValueError(f"size has {len(size)} numbers, expected 2")
    features: list[Feature] = []
    stages = tuple(
        Stage(
            stage.child("stage_threshold").number(),
            tuple(_read_old_tree(tree, features) for tree in stage.child("trees").items()),
        )
        for stage in node.child("stages").items()
    )
    return Cascade("HAAR", (whole(size[0], *WINDOW, "size"), whole(size[1], *WINDOW, "size")), stages, tuple(features))


def _read_old_tree(tree: Element, features: list[Feature]) -> Tree:
    """Return one tree and append its features."""
    nodes: list[tuple[float, ...]] = []
    leaves: list[float] = []
    for node in tree.items():
        links = []
        for side in ("left", "right"):
            leaf = node.find(f"{side}_val")
            if leaf is None:
                links.append(node.child(f"{side}_node").integer(1, MAX_NODES_PER_TREE))
            else:
                links.append(-len(leaves))
                leaves.append(leaf.number())
        nodes.append((*links, len(features), node.child("threshold").number()))
        features.append(_read_feature(node.child("feature"), "HAAR"))
    return Tree(tuple(nodes), tuple(leaves))


def _check_count(element: Element | None, count: int, name: str) -> None:
    if element is not None and element.number() != count:
        raise ValueError(f"it has {count} {name}, but declares {element.number():g}")


def _check(cascade: Cascade) -> None:
    nodes = sum(len(tree.nodes) for stage in cascade.stages for tree in stage.trees)
    for name, count, largest in (
        ("stages", len(cascade.stages), MAX_STAGES),
        ("nodes", nodes, MAX_NODES),
        ("features", len(cascade.features), MAX_FEATURES),
    ):
        if not 1 <= count <= largest:
            raise ValueError(f"it has {count} {name}, expected 1..{largest}")
    for stage in cascade.stages:
        if not stage.trees:
            raise ValueError("a stage has no weak classifiers")
        for tree in stage.trees:
            _check_tree(tree, len(cascade.features))
    for feature in cascade.features:
        _check_feature(feature, cascade)


def _check_tree(tree: Tree, features: int) -> None:
    count = len(tree.nodes)
    if not 1 <= count <= MAX_NODES_PER_TREE or len(tree.leaves) != count + 1:
        raise ValueError(
            f"a weak classifier has {count} nodes and {len(tree.leaves)} leaves, expected 1..{MAX_NODES_PER_TREE} "
            "nodes and one leaf more"
        )
    for index, (left, right, feature, *_) in enumerate(tree.nodes):
        for child in (left, right):
            # Requiring each child to follow its parent excludes cycles.
            if not (index < child < count if child > 0 else -child <= count):
                raise ValueError(f"a node has the child {child:g}, which does not exist or precedes it")
        if not 0 <= feature < features:
            raise ValueError(f"a node uses the feature {feature:g}, but the cascade has {features}")


def _check_feature(feature: Feature, cascade: Cascade) -> None:
    width, height = cascade.window_wh
    if not 1 <= len(feature.rectangles) <= 3:
        raise ValueError(f"a feature has {len(feature.rectangles)} rectangles, expected 1..3")
    for x, y, w, h, *weight in feature.rectangles:
        if cascade.kind == "LBP":
            left, right, bottom = x, x + 3 * w, y + 3 * h
        elif feature.tilted:
            left, right, bottom = x - h, x + w, y + w + h
        else:
            left, right, bottom = x, x + w, y + h
        if not (w >= 1 and h >= 1 and left >= 0 and right <= width and bottom <= height):
            raise ValueError(f"a rectangle {x:g} {y:g} {w:g} {h:g} is empty or outside the window {width}x{height}")
        if any(abs(factor) > _MAX_WEIGHT for factor in weight):
            raise ValueError(f"a rectangle has a weight above {_MAX_WEIGHT:g}")
