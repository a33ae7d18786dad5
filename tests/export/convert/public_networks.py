"""Three public networks in their published layouts, with few channels and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FERPLUS_NAMES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")


def mobilenet_v2(classes: int) -> keras.Model:
    """Build MobileNetV2 as `keras.applications` does: floats of -1..1 in RGB order, softmax last."""
    keras.utils.set_random_seed(0)
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, classes=classes, weights=None)


class GraphWriter:
    """Nodes and weights of a graph, added one after the other."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def weight(self, *shape: int, scale: float | None = None, low: float | None = None) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        values = self._random.normal(0, scale or (2 / fan_in) ** 0.5, shape)
        return self.constant(np.abs(values) + low if low is not None else values)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def write_resnet18(
    path: Path, classes: int, *, width: int = 4, size: int = 32, batch: str | int = "batch", opset: int = 17
) -> None:
    """Write ResNet18 as `torch.onnx.export` writes torchvision's: NCHW, ImageNet's statistics outside, logits."""
    graph = GraphWriter()

    def conv(value: str, inputs: int, outputs: int, kernel: int, stride: int) -> str:
        value = graph.add(
            "Conv", value, graph.weight(outputs, inputs, kernel, kernel), kernel_shape=[kernel] * 2,
            strides=[stride] * 2, pads=[kernel // 2] * 4, dilations=[1, 1], group=1,
        )  # fmt: skip
        parts = [graph.weight(outputs, low=0.5), graph.weight(outputs, scale=0.1), graph.weight(outputs, scale=0.1)]
        return graph.add("BatchNormalization", value, *parts, graph.weight(outputs, low=0.5), epsilon=1e-5)

    value = graph.add("Relu", conv("input", 3, width, 7, 2))
    value = graph.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inputs = width
    for stage in range(4):
        for block in range(2):
            outputs, stride = width << stage, 2 if stage and not block else 1
            branch = graph.add("Relu", conv(value, inputs, outputs, 3, stride))
            branch = conv(branch, outputs, outputs, 3, 1)
            shortcut = conv(value, inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else value
            value, inputs = graph.add("Relu", graph.add("Add", branch, shortcut)), outputs
    value = graph.add("Flatten", graph.add("GlobalAveragePool", value), axis=1)
    graph.add("Gemm", value, graph.weight(classes, inputs), graph.weight(classes, scale=0.1), output="output", transB=1)
    body = helper.make_graph(
        graph.nodes, "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, classes])], graph.weights,
    )  # fmt: skip
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def write_ferplus(path: Path, *, width: int = 4, softmax: bool = False) -> None:
    """Write the emotion network of the ONNX zoo (CNTK's export): opset 8, IR version 3, one grey 64x64 face of 0..255.

    Its weights are also inputs, it scales inside, `auto_pad` is set, and Reshape has a constant batch size.
    """
    graph = GraphWriter()
    value = graph.add("Sub", "Input3", graph.constant(127.5))
    value, inputs = graph.add("Div", value, graph.constant(255.0)), 1
    for stage, count in enumerate((2, 2, 3, 3)):
        outputs = width << min(stage, 2)
        for _ in range(count):
            value = graph.add(
                "Conv", value, graph.weight(outputs, inputs, 3, 3), kernel_shape=[3, 3], strides=[1, 1],
                auto_pad="SAME_UPPER", dilations=[1, 1], group=1,
            )  # fmt: skip
            bias = graph.weight(outputs, 1, 1, scale=0.1)
            value, inputs = graph.add("Relu", graph.add("Add", value, bias)), outputs
        value = graph.add("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], auto_pad="NOTSET")
        value = graph.add("Dropout", value, ratio=0.25)
    value = graph.add("Reshape", value, graph.constant([1, inputs * 16], np.int64))
    folded = graph.add("Reshape", graph.weight(inputs, 4, 4, 32), graph.constant([inputs * 16, 32], np.int64))
    value = graph.add("Relu", graph.add("Add", graph.add("MatMul", value, folded), graph.weight(32, scale=0.1)))
    value = graph.add("MatMul", value, graph.weight(32, 8, scale=0.3))
    value = graph.add("Add", value, graph.weight(8, scale=0.1), output="" if softmax else "Plus692_Output_0")
    if softmax:
        graph.add("Softmax", value, output="Plus692_Output_0")
    image = helper.make_tensor_value_info("Input3", TensorProto.FLOAT, [1, 1, 64, 64])
    weights = [helper.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in graph.weights]
    body = helper.make_graph(
        graph.nodes, "CNTKGraph", [image, *weights],
        [helper.make_tensor_value_info("Plus692_Output_0", TensorProto.FLOAT, [1, 8])], graph.weights,
    )  # fmt: skip
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 8)], ir_version=3), path)


def run_original(path: Path, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an unmodified file on single faces, (N, C, H, W), with onnx's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))
    name = onnx.load(path).graph.input[0].name
    return np.concatenate([session.run(None, {name: face[None]})[0] for face in pixels])
