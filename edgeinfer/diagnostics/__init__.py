"""Benchmark of this machine (`bench`) and checks of this installation (`doctor`)."""
