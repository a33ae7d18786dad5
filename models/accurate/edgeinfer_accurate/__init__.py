"""Model file of `edgeinfer run --model accurate`; edgeinfer finds it without importing this package."""
