"""Export of trained expression models: one ONNX file that tells how to use it, checked before it is named."""
