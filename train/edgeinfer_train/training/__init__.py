"""Training: the fit loop, callbacks, optimizers, distillation, devices and the run folder."""
