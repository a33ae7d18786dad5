"""Frame sources: files, pictures, cameras, streams and pipes. Results are written in `outputs`."""
