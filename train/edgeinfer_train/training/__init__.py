"""Training: the fit loop, callbacks, optimizers, distillation and devices."""
