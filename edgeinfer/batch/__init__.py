"""Batches: planning of the sources, local and Ray workers, state for resuming. One source is processed by `runner`."""
