"""Estimation of batch normalization statistics."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

STATISTICS_FACES, STATISTICS_BATCH = 1600, 64
"""Number of faces, and of faces per batch, for the estimation."""


def estimate_statistics(network: keras.Model, images: NDArray[np.uint8]) -> None:
    """Replace the batch normalization statistics of a network with those of some faces; frozen layers keep theirs.

    With faces of another camera, this alone adapts a network to it (Li et al. 2016, arXiv:1603.04779).

    Args:
        network: Network; modified in place.
        images: (N, H, W, C) uint8 faces, of which a random sample is used.
    """
    sample = np.random.default_rng(0).permutation(len(images))[:STATISTICS_FACES]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    try:
        for batch, chosen in enumerate(np.array_split(sample, -(-len(sample) // STATISTICS_BATCH))):
            for norm in norms:
                norm.momentum = batch / (batch + 1)  # turns the moving average into the mean over all batches
            network(images[chosen], training=True)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
