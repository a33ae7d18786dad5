"""HTML reports and summary tables from result files. Results are written by `outputs`."""
