"""No output channel of a run contains a user name, password or token."""

from __future__ import annotations

import json
import logging
import random
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Event, Pipeline, run
from edgeinfer.cli import config_file
from edgeinfer.cli.config_file import SECRETS, Setting, read_config
from edgeinfer.cli.masking import masked
from edgeinfer.errors import EdgeInferError
from edgeinfer.outputs.factory import open_sink
from edgeinfer.outputs.http_post import PostTarget
from edgeinfer.outputs.mqtt import MqttSink, device_discovery
from edgeinfer.outputs.mqtt_link import BrokerAddress
from edgeinfer.outputs.osc import OscAddress
from edgeinfer.outputs.preview.prometheus import metrics
from edgeinfer.outputs.preview.sink import PreviewSink
from edgeinfer.outputs.summary import RunHeader
from edgeinfer.outputs.systemd import SystemdSink
from edgeinfer.outputs.webhook import WebhookSink
from edgeinfer.results import SourceState
from edgeinfer.sources.factory import open_source
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.retry import Patience
from tools.cli import edgeinfer
from tools.fakes import FakeDetector, FakeSource
from tools.mjpeg_server import MjpegServer
from tools.secret_texts import Secret, addresses

pytestmark = pytest.mark.slow

EVENT = Event("appeared", 1, 0.0, "happy", 1.0, None, 0.0)


def error_text(action: Callable[[], object]) -> str:
    """Return message and causes of the error that an action raises, empty if it raises none."""
    try:
        action()
    except EdgeInferError as error:
        return f"{error} {error!r}"
    return ""


def read(values: str, folder: Path) -> str:
    """Return the error about a config file in which every value is rejected by its check."""
    path = folder / "c.toml"
    path.write_text(values, encoding="utf-8")
    settings = {
        "source": Setting("text", lambda value: f"bad {value}"),
        "threads": Setting("number", lambda value: f"bad {value}"),
    }
    return error_text(lambda: read_config(path, settings))


@pytest.mark.parametrize("seed", range(5))
def test_messages_about_an_address_contain_no_secret(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    generator = random.Random(seed)
    for kind in ("rtsp", "http", "mqtt"):
        for address, secrets in addresses(generator, kind):
            monkeypatch.setattr(sys, "argv", ["edgeinfer", "run", f"--webhook={address}", address])
            toml = json.dumps(address, ensure_ascii=False)
            local = "host" if "://" in address else address
            outputs = {
                "source": error_text(partial(open_source, local)),
                "result file": error_text(partial(open_sink, address)),
                "webhook": error_text(partial(WebhookSink, address)),
                "broker": error_text(partial(MqttSink, address)),
                "preview": error_text(partial(PreviewSink, address)),
                "osc": error_text(partial(OscAddress.parse, address)),
                "config": config_file.as_toml([(key, address, "") for key in ("source", "webhook", "mqtt", "model")]),
                "config list": config_file.as_toml([("out", [address], "")]),
                "config check": read(f"source = {toml}", tmp_path),
                "config type": read(f"threads = {{ a = [{toml}] }}", tmp_path),
                "foreign error": masked(f"ValueError: invalid URL {address!r}: {address}"),
                "log": caplog.text,
            }
            leaks = [name for name, text in outputs.items() if any(secret.leaks_into(text) for secret in secrets)]
            assert leaks == [], (address, {name: outputs[name] for name in leaks})
            tomllib.loads(outputs["config"])


@pytest.mark.parametrize("seed", range(3))
def test_outputs_of_a_run_contain_no_secret(
    seed: int, classifier: EmotionClassifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    generator = random.Random(seed)
    user, password, token = (Secret(generator) for _ in range(3))
    encoded = f"{quote(user.text, safe='')}:{quote(password.text, safe='')}@"
    statuses: list[str] = []
    preview, systemd = PreviewSink("0"), SystemdSink(send=lambda *lines: statuses.extend(lines))
    webhook = WebhookSink(f"http://{encoded}127.0.0.1:9/{quote(token.text)}", pause_s=0.0)
    out = tmp_path / "out.jsonl"
    with MjpegServer() as server:
        url = f"{server.url.replace('http://', f'http://{encoded}')}?token={quote(token.text, safe='')}"
        with open_source(url) as source:
            summary = run(
                source, Pipeline(FakeDetector([Box(0, 0, 60, 60)]), classifier),
                [open_sink(str(out)), preview, systemd, webhook], max_frames=3,
            )  # fmt: skip
    assert summary.frames == 3
    assert json.loads(out.read_text().splitlines()[0])["source"] == server.url
    state = preview._state
    broker = BrokerAddress.parse(f"mqtt://{encoded}127.0.0.1/door")
    header = RunHeader(source.name, None, ("happy",), "tiny", "", {})
    webhook.start(header, lambda: summary)
    webhook.handle_events([EVENT], None, None)
    mqtt = MqttSink(f"mqtt://{encoded}127.0.0.1/door")
    mqtt._header = header
    outputs = {
        "jsonl": out.read_text(), "status": " ".join(statuses), "log": caplog.text, "metrics": metrics(state),
        "events and page": json.dumps([state.page_status(), state.frame()]),
        "source": repr(source.name), "webhook": repr(webhook._target),
        "payload": str(webhook._queue._items), "broker": repr(broker), "mqtt": json.dumps(mqtt._current_state()),
        "discovery": json.dumps(device_discovery(broker, header)),
        "target": repr(PostTarget.parse(f"https://{encoded}h/{quote(token.text)}")),
    }  # fmt: skip
    assert [name for name, text in outputs.items() if any(s.leaks_into(text) for s in (user, password, token))] == []


def test_state_of_a_lost_source_contains_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    states: list[SourceState] = []
    source = open_source("rtsp://admin:SE%3FCRET@127.0.0.1:9/user=a&password=SECRET", patience=Patience(retries=1))
    assert isinstance(source, LiveSource)
    source.listener = states.append
    text = error_text(lambda: list(source))
    assert states
    assert "CRET" not in f"{text}{states}{caplog.text}"


@pytest.mark.parametrize(
    "flag", ["--webhook", "--mqtt", "--osc", "--out", "--model", "--config", "--max-frames", "--save-video", ""]
)
def test_command_line_prints_no_secret(flag: str) -> None:
    for address in ("http://me:SE/CRET@127.0.0.1:9", "me:SECRET@h/x", "http://127.0.0.1:9/user=me&password=SECRET"):
        done = edgeinfer("run", *([flag] if flag else []), address, "--max-frames=3")
        assert done.returncode in (0, 2, 4, 5, 6)
        assert "CRET" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", [["config", "show", "--origin"], ["doctor"]], ids=" ".join)
def test_environment_is_shown_without_secrets(command: list[str]) -> None:
    environment = {
        "EDGEINFER_SOURCE": "rtsp://me:SE?CRET@h/x", "EDGEINFER_WEBHOOK": "https://hooks.example/T0/SECRET",
        "EDGEINFER_MQTT": "mqtt://me:SECRET@h", "EDGEINFER_PREVIEW_TOKEN": "SECRETSECRET",
        "http_proxy": "http://me:SECRET@proxy", "RTSP_PASSWORD": "SECRET",
    }  # fmt: skip
    done = edgeinfer(*command, env=environment)
    assert "CRET" not in done.stdout + done.stderr
    if command[0] == "config":
        assert 'webhook = "https://hooks.example"  # environment, EDGEINFER_WEBHOOK, credentials hidden' in done.stdout
        assert 'source = "rtsp://h/x"' in done.stdout


def test_secret_options_are_never_shown() -> None:
    assert "preview_token" in SECRETS
    assert all("SECRET" not in config_file.as_toml([(key, "SECRET", "")]) for key in SECRETS)


def test_plugin_that_quotes_its_address_reveals_no_secret(
    classifier: EmotionClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = "tapo://me:SE/CRET@camera/live"

    def refuse(text: str, _capture: object) -> FakeSource:
        raise ConnectionError(f"no answer from {text}")

    def accept(text: str, _capture: object) -> FakeSource:
        source = FakeSource([np.zeros((60, 60, 3), np.uint8)])
        source.name = text
        return source

    monkeypatch.setattr("edgeinfer.sources.factory.plugin", lambda *_: refuse)
    with pytest.raises(ConnectionError, match="no answer from tapo://camera/live"):
        open_source(address)
    monkeypatch.setattr("edgeinfer.sources.factory.plugin", lambda *_: accept)
    out = tmp_path / "out.jsonl"
    with open_source(address) as source:
        run(source, Pipeline(FakeDetector([]), classifier), [open_sink(str(out))])
    assert json.loads(out.read_text().splitlines()[0])["source"] == "tapo://camera/live"
    assert "CRET" not in out.read_text() + caplog.text
