"""Export of trained expression models to verified, self-describing ONNX files.

Training belongs in `edgeinfer_train`, inference in `edgeinfer`.
"""
