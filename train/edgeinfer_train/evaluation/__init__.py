"""Evaluation: metrics, comparison of runs, plots and training history."""
