"""Data sets: preparation, loading, augmentation and summary pictures."""
