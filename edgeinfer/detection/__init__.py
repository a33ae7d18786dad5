"""Face detectors and the searches that run them. Tracking between detections belongs in `tracking`."""
