"""Fuzz targets for every parser of untrusted input; `make fuzz` runs them, test_fuzz.py runs a few cases of each."""
