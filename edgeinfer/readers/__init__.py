"""Readers of result files: JSONL, CSV and Parquet, one frame at a time, for reports and other programs."""
