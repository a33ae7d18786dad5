"""Conversion of a Keras model to a float32 ONNX graph with metadata. Quantization belongs in `quantize`."""
