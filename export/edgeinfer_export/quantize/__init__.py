"""Quantized forms of an ONNX graph."""
