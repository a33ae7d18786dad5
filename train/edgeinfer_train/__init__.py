"""Training of expression models: prepare a data set, fine-tune a backbone, evaluate what came of it."""
