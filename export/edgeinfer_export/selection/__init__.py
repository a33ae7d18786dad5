"""Study of all forms of a model, and the choice of the one to publish."""
