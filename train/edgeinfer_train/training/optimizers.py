"""Training phases, learning rate schedules and optimizers."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from edgeinfer_train.config import FitConfig


@dataclass(frozen=True, slots=True)
class Phase:
    """Consecutive epochs with the same trainable layers and one optimizer.

    Attributes:
        begin: Number of epochs before the phase.
        end: Number of epochs after the phase is complete.
        trainable_layers: Number of trainable backbone layers, as in `edgeinfer_train.networks.model.freeze`.
        learning_rate: Peak or constant learning rate.
        warmup_epochs: Epochs of linear increase to the learning rate.
        decays: True if the learning rate decays to 0 along a cosine.
    """

    begin: int
    end: int
    trainable_layers: int
    learning_rate: float
    warmup_epochs: float
    decays: bool


def training_phases(config: FitConfig) -> tuple[Phase, ...]:
    """Return one phase, or two if the head is trained alone first."""
    head, decays = config.head_phase, config.schedule == "cosine"
    main = Phase(head, config.epochs, config.trainable_layers, config.learning_rate, config.warmup_epochs, decays)
    return (Phase(0, head, 0, config.head_learning_rate, 0.0, False), main) if head else (main,)


def build_optimizer(config: FitConfig, phase: Phase, core: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """Build a new optimizer for a phase.

    Args:
        config: Settings, with the optimizer's name, momentum, weight decay and weight averaging.
        phase: Phase, with its learning rates.
        core: Network; weight decay applies to its kernels only.
        steps: Steps per epoch.
    """
    warmup = round(phase.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=phase.learning_rate / 25 if warmup else phase.learning_rate,
        decay_steps=max(1, (phase.end - phase.begin) * steps - warmup),
        alpha=0.0 if phase.decays else 1.0,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    averaging = {"use_ema": config.ema_momentum > 0, "ema_momentum": config.ema_momentum or 0.99}
    if config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, config.weight_decay, beta_1=config.momentum, **averaging)
    else:
        optimizer = keras.optimizers.SGD(
            schedule,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay or None,
            **averaging,
        )
    without_decay = [v for v in core.trainable_variables if not v.name.endswith("kernel")]
    optimizer.exclude_from_weight_decay(var_list=without_decay)
    return optimizer
