"""Export of the selected variant: model file, report and model card."""
