from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from edgeinfer_train.config import FitConfig
from edgeinfer_train.networks.model import build_core
from edgeinfer_train.training.optimizers import Phase, build_optimizer, training_phases

CONFIG = FitConfig(epochs=10, learning_rate=0.1, warmup_epochs=2.0, head_epochs=3, head_learning_rate=0.02)
STEPS = 5


@pytest.fixture(scope="module")
def core() -> keras.Model:
    return build_core("edgenet", 2, width=0.25)


def rates(config: FitConfig, core: keras.Model, phase: Phase) -> list[float]:
    """Return the learning rate for each step of a phase and for the step after it."""
    schedule = build_optimizer(config, phase, core, STEPS)._learning_rate
    return [float(schedule(step)) for step in range((phase.end - phase.begin) * STEPS + 1)]


def test_cosine_schedule_warms_up_and_decays_to_zero(core: keras.Model) -> None:
    found = rates(CONFIG, core, *training_phases(CONFIG))
    assert found[0] == pytest.approx(0.1 / 25)
    assert found.index(max(found)) == 2 * STEPS
    assert max(found) == pytest.approx(0.1)
    assert found[-1] == pytest.approx(0, abs=1e-6)
    assert (np.diff(found[2 * STEPS :]) < 0).all()


def test_constant_schedule_warms_up_and_stays_constant(core: keras.Model) -> None:
    config = replace(CONFIG, schedule="constant")
    found = rates(config, core, *training_phases(config))
    assert found[0] == pytest.approx(0.1 / 25)
    np.testing.assert_allclose(found[2 * STEPS :], 0.1, rtol=1e-5)


def test_schedule_without_warmup_starts_at_the_peak(core: keras.Model) -> None:
    config = replace(CONFIG, warmup_epochs=0.0)
    assert rates(config, core, *training_phases(config))[0] == pytest.approx(0.1)


def test_two_phases_use_separate_learning_rates(core: keras.Model) -> None:
    config = replace(CONFIG, phases="two-phase", trainable_layers=7)
    head, rest = training_phases(config)
    assert (head.begin, head.end, head.trainable_layers) == (0, 3, 0)
    assert (rest.begin, rest.end, rest.trainable_layers) == (3, 10, 7)
    np.testing.assert_allclose(rates(config, core, head), 0.02, rtol=1e-5)
    found = rates(config, core, rest)
    assert max(found) == pytest.approx(0.1)
    assert found[-1] == pytest.approx(0, abs=1e-6)
    assert len(training_phases(replace(config, phases="whole"))) == 1


def test_optimizers_use_their_settings(core: keras.Model) -> None:
    (phase,) = training_phases(CONFIG)
    sgd = build_optimizer(replace(CONFIG, momentum=0.7, ema_momentum=0.9), phase, core, STEPS)
    assert isinstance(sgd, keras.optimizers.SGD)
    assert (sgd.momentum, sgd.nesterov, sgd.use_ema, sgd.ema_momentum) == (0.7, True, True, 0.9)
    adamw = build_optimizer(replace(CONFIG, optimizer="adamw", momentum=0.7, ema_momentum=0.0), phase, core, STEPS)
    assert isinstance(adamw, keras.optimizers.AdamW)
    assert (adamw.beta_1, adamw.use_ema, adamw.weight_decay) == (0.7, False, CONFIG.weight_decay)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_applies_only_to_kernels(name: str) -> None:
    """Use zero gradients, so that only weight decay changes the weights."""
    core = build_core("edgenet-sep", 2, width=0.25)
    core.get_layer("logits").bias.assign([1.0, 2.0])
    config = replace(CONFIG, optimizer=name, weight_decay=0.5, warmup_epochs=0.0, ema_momentum=0.0)  # type: ignore[arg-type]
    built = build_optimizer(config, training_phases(config)[0], core, STEPS)
    before = [w.numpy() for w in core.trainable_variables]
    built.apply([keras.ops.zeros_like(w) for w in core.trainable_variables], core.trainable_variables)
    for variable, old in zip(core.trainable_variables, before, strict=True):
        factor = 1 - 0.5 * 0.1 if variable.name.endswith("kernel") else 1.0
        np.testing.assert_allclose(variable.numpy(), factor * old, rtol=1e-5, err_msg=variable.path)
