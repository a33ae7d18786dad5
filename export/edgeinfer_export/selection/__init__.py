"""Evaluation of all variants of a model and selection of one. Writing it to disk belongs in `publish`."""
