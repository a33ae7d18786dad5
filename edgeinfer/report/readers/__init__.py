"""Readers of result files: JSONL, CSV and Parquet become calls of one role, one frame at a time."""
