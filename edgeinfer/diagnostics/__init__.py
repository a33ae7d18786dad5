"""Benchmark of this machine (`bench`), checks of this installation (`doctor`) and latency of models."""
