"""Training of expression models: data set preparation, fitting, evaluation and comparison of runs."""
