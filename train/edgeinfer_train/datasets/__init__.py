"""Data sets: preparation, loading, augmentation and summaries."""
