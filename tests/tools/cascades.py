"""Cascade files for tests: a random LBP cascade, and a bundled cascade in the format used before OpenCV 2."""

from __future__ import annotations

import random

from edgeinfer.detection.cascade_admission import Cascade, Feature, Stage, Tree, to_xml

WINDOW = 24


def lbp_cascade() -> str:
    """Return an LBP cascade that accepts a few windows of a picture."""
    rng = random.Random(3)
    features = []
    for _ in range(60):
        width, height = rng.randint(1, 7), rng.randint(1, 7)
        corner = rng.randint(0, WINDOW - 3 * width), rng.randint(0, WINDOW - 3 * height)
        features.append(Feature(((*corner, width, height),)))
    stages = tuple(Stage(0.4, tuple(_lbp_tree(rng, len(features)) for _ in range(5))) for _ in range(8))
    return to_xml(Cascade("LBP", (WINDOW, WINDOW), stages, tuple(features)))


def _lbp_tree(rng: random.Random, features: int) -> Tree:
    subset = [rng.randint(-(2**31), 2**31 - 1) for _ in range(8)]
    return Tree(((0, -1, rng.randrange(features), *subset),), (-0.5, 0.5))


def old_format(cascade: Cascade) -> str:
    """Return a Haar cascade in the old format, in which every node contains its feature."""
    stages = "".join(
        f"<_><trees>{''.join(_old_tree(tree, cascade) for tree in stage.trees)}</trees>"
        f"<stage_threshold>{stage.threshold!r}</stage_threshold><parent>-1</parent><next>-1</next></_>"
        for stage in cascade.stages
    )
    width, height = cascade.window_wh
    return (
        '<?xml version="1.0"?><opencv_storage><old type_id="opencv-haar-classifier">'
        f"<size>{width} {height}</size><stages>{stages}</stages></old></opencv_storage>"
    )


def _old_tree(tree: Tree, cascade: Cascade) -> str:
    nodes = ""
    for left, right, index, threshold in tree.nodes:
        feature = cascade.features[int(index)]
        rectangles = "".join(f"<_>{' '.join(map(repr, rectangle))}</_>" for rectangle in feature.rectangles)
        children = "".join(
            f"<{side}_node>{child}</{side}_node>"
            if child > 0
            else f"<{side}_val>{tree.leaves[-int(child)]}</{side}_val>"
            for side, child in (("left", left), ("right", right))
        )
        nodes += (
            f"<_><feature><rects>{rectangles}</rects><tilted>{int(feature.tilted)}</tilted></feature>"
            f"<threshold>{threshold!r}</threshold>{children}</_>"
        )
    return f"<_>{nodes}</_>"
