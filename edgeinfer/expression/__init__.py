"""Expression classification of face crops: preprocessing, prior, smoothing and caching."""
