"""Classification of expressions in face crops. Detection, tracking and the loading of model files belong elsewhere."""
