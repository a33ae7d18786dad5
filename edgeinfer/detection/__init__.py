"""Face detectors, and the incremental searches built on them. Tracking between searches is in `tracking`."""
