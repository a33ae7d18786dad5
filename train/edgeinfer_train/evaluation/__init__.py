"""Evaluation: metrics, comparisons of runs, plots and training history."""
