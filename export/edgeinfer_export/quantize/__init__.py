"""Quantized variants of an ONNX graph. Selecting one of them belongs in `selection`."""
