"""ONNX model files: metadata, admission rules, sessions and verification. Interpretation of outputs: `expression`."""
