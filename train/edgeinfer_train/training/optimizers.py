"""How the weights are moved: phases, learning rates, optimizers."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from edgeinfer_train.config import FitConfig


@dataclass(frozen=True, slots=True)
class Phase:
    """Epochs that train the same layers with one optimizer.

    Attributes:
        begin: epochs before it.
        end: epochs after it.
        trainable_layers: of the backbone, as in `edgeinfer_train.model.freeze`.
        learning_rate: peak, or the constant rate.
        warmup_epochs: linear rise to it.
        falls: whether a cosine takes it to 0.
    """

    begin: int
    end: int
    trainable_layers: int
    learning_rate: float
    warmup_epochs: float
    falls: bool


def phases(config: FitConfig) -> tuple[Phase, ...]:
    """One phase, or the head alone first."""
    head, falls = config.head_phase, config.schedule == "cosine"
    rest = Phase(head, config.epochs, config.trainable_layers, config.learning_rate, config.warmup_epochs, falls)
    return (Phase(0, head, 0, config.head_learning_rate, 0.0, False), rest) if head else (rest,)


def optimizer(config: FitConfig, phase: Phase, core: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """A fresh optimizer for a phase.

    Args:
        config: which one, with momentum, weight decay and averaging.
        phase: its learning rates.
        core: the network; only its kernels decay.
        steps: of an epoch.
    """
    warmup = round(phase.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=phase.learning_rate / 25 if warmup else phase.learning_rate,
        decay_steps=max(1, (phase.end - phase.begin) * steps - warmup),
        alpha=0.0 if phase.falls else 1.0,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    averaging = {"use_ema": config.ema_momentum > 0, "ema_momentum": config.ema_momentum or 0.99}
    if config.optimizer == "adamw":
        made = keras.optimizers.AdamW(schedule, config.weight_decay, beta_1=config.momentum, **averaging)
    else:
        made = keras.optimizers.SGD(
            schedule,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
            weight_decay=config.weight_decay or None,
            **averaging,
        )
    made.exclude_from_weight_decay(var_list=[v for v in core.trainable_variables if not v.name.endswith("kernel")])
    return made
