"""ONNX model files: metadata, admission rules, sessions and verification."""
