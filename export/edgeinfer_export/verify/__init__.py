"""Measurements of a form: agreement with Keras, accuracy, calibration and latency."""
