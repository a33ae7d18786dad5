"""Measurements of one variant: agreement with Keras, accuracy, confidence calibration and latency."""
