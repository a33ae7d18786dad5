"""Publication of the chosen form: file, report and model card."""
