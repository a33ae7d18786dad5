from __future__ import annotations

import numpy as np

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Image
from edgeinfer.tracking.scene import SceneMonitor
from tools.world import texture


def noisy(image: Image, seed: int) -> Pyramid:
    random = np.random.default_rng(seed)
    return Pyramid(np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8))


def test_cut_is_distinguished_from_noise_motion_and_brightness() -> None:
    scene, ground = SceneMonitor(1), texture(1)
    frames = [ground, ground, np.roll(ground, 12, axis=1), np.asarray(ground * 0.7, np.uint8), texture(2), texture(2)]
    cuts = [scene.update(noisy(image, n)) for n, image in enumerate(frames)]
    assert cuts == [True, False, False, False, True, False]


def test_changed_region_excludes_searched_parts_and_tracked_faces() -> None:
    scene, ground = SceneMonitor(2), texture(1)
    scene.update(noisy(ground, 0))
    scene.mark_searched(0)
    scene.update(noisy(ground, 1))
    assert scene.changed_region(0, noisy(ground, 1), []) is None
    assert scene.changed_region(1, noisy(ground, 1), []) == (0, 0, 1, 1)  # this step has not searched yet
    changed = ground.copy()
    changed[120:200, 300:380] //= 3
    scene.update(noisy(changed, 2))
    left, top, right, bottom = scene.changed_region(0, noisy(changed, 2), []) or (0, 0, 0, 0)
    assert 0.4 < left < 300 / 480 < 380 / 480 < right < 1
    assert 0.2 < top < 120 / 270 < 200 / 270 < bottom < 1
    assert scene.changed_region(0, noisy(changed, 2), []) is None  # the region is marked as searched
    scene.mark_searched(1)
    scene.update(noisy(ground, 3))
    assert scene.changed_region(1, noisy(ground, 3), [Place(340, 160, 90, 90)]) is None  # a tracked face
