"""Conversion from Keras to a float32 ONNX graph with metadata."""
