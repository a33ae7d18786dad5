"""Pool of workers on a Ray cluster of three nodes, which all run on this machine."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import CapabilityError, EdgeInferError, ModelError, UsageError
from edgeinfer.batch.engine import run_batch
from edgeinfer.batch.jobs import Died, PoolEvent, WorkerPool, WorkSettings
from edgeinfer.batch.local_pool import LocalPool
from edgeinfer.batch.planning import plan_batch
from edgeinfer.batch.progress import BatchProgress
from edgeinfer.batch.ray_pool import RayPool
from edgeinfer.batch.ray_slot import _missing_package
from edgeinfer.batch.settings_key import settings_key
from edgeinfer.batch.state import BatchState
from edgeinfer.options.groups import ContentOptions, DecodingOptions, DetectionOptions, ModelOptions
from tools.patience import PATIENCE, until
from tools.programs import running

if os.environ.get("EDGEINFER_TEST_PROGRAMS") != "all":
    pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
FAST_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""Settings with which Ray detects a lost node in about a second instead of fifteen."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes with one CPU each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    try:
        cluster = Cluster(
            initialize_head=True, head_node_args=NODE | {"include_dashboard": False, "_system_config": FAST_CHECKS}
        )
        for _ in range(2):
            cluster.add_node(**NODE, wait=False)
        cluster.wait_for_nodes()
    except Exception as error:
        stop = pytest.fail if os.environ.get("EDGEINFER_TEST_PROGRAMS") == "all" else pytest.skip
        stop(f"Ray cannot start here: {error}")
    yield cluster
    cluster.shutdown()


@pytest.fixture
def settings(tiny_model: Path) -> WorkSettings:
    return WorkSettings(
        ModelOptions(model=str(tiny_model)), DetectionOptions(detector="none"), DecodingOptions(), ContentOptions()
    )


def write_clip(path: Path, frames: int, brightest: int) -> None:
    """Write a clip that becomes brighter."""
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), brightest * index // frames, np.uint8))
    writer.release()


def run(
    pool: WorkerPool, sources: Path, out: Path, settings: WorkSettings, on_update: Callable[[BatchProgress], None]
) -> dict[str, dict[str, str]]:
    """Run a batch and return the rows of its table without the processing times, by source."""
    with BatchState(out, settings_key=settings_key(settings), formats=("csv",)) as state:
        run_batch(plan_batch([str(sources)], out), state, pool, formats=("csv",), on_update=on_update)
    with (out / "batch.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["source"]: {name: value for name, value in row.items() if name != "elapsed_s"} for row in rows}


class RecordingPool(RayPool):
    """Pool that records the deaths that it reports."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.deaths: list[Died] = []

    def report(self, event: PoolEvent) -> None:
        if isinstance(event, Died):
            self.deaths.append(event)
        super().report(event)


def test_results_equal_the_local_ones_although_a_node_is_lost(
    tmp_path: Path, cluster: Any, settings: WorkSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(9):
        write_clip(tmp_path / "in" / f"{number}.avi", 700, 25 * number + 50)
    local = run(LocalPool(settings, 2), tmp_path / "in", tmp_path / "local", settings, lambda _: None)
    removed: list[str] = []

    def remove_busy_node(progress: BatchProgress) -> None:
        node = cluster.list_all_nodes()[-1]
        busy = {slot._node_id for slot in pool._slots if slot.is_ready and slot.job_count}
        if progress.done and node.node_id in busy and not removed:
            removed.append(node.node_id)
            cluster.remove_node(node, allow_graceful=False)

    pool = RecordingPool(settings, cluster.address)
    started_s = time.perf_counter()
    distributed = run(pool, tmp_path / "in", tmp_path / "ray", settings, remove_busy_node)
    elapsed_s = time.perf_counter() - started_s
    assert distributed == local
    assert {row["status"] for row in local.values()} == {"done"}
    for number in range(9):
        name = f"{number}.csv"
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert removed
    assert pool.deaths
    assert {(death.blames_job, death.reason.split()[-1]) for death in pool.deaths} == {(False, "lost")}
    with capsys.disabled():
        lost = len(pool.deaths)
        print(f"\nRay: 9 clips on 3 nodes, 1 removed, {lost} submitted again, all done in {elapsed_s:.1f} s")


@pytest.mark.parametrize(("kills", "status"), [(1, "done"), (2, "failed")])
def test_process_that_dies_twice_fails_its_source(
    tmp_path: Path, cluster: Any, settings: WorkSettings, kills: int, status: str
) -> None:
    write_clip(tmp_path / "in" / "long.avi", 2500, 250)
    write_clip(tmp_path / "in" / "short.avi", 30, 250)
    killed: list[int] = []
    pool = RecordingPool(settings, cluster.address)

    def kill(progress: BatchProgress) -> None:
        busy = {slot.process_id for slot in pool._slots if slot.job_count}
        if progress.done and busy - set(killed) and len(killed) < kills:  # done is the short clip
            killed.extend(busy)
            os.kill(killed[-1], signal.SIGKILL)

    rows = run(pool, tmp_path / "in", tmp_path / "out", settings, kill)
    assert len(killed) == kills
    assert [death.blames_job for death in pool.deaths] == [True] * kills
    assert (rows["short.avi"]["status"], rows["long.avi"]["status"]) == ("done", status)
    assert (f"died twice: process {killed[-1]} on the Ray node" in rows["long.avi"]["reason"]) == (status == "failed")


def wait_until(pool: RayPool, condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30 * PATIENCE
    while not condition():
        assert time.monotonic() < deadline_s
        pool.wait(0.2)


def test_node_that_joins_gets_a_worker(cluster: Any, settings: WorkSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.batch.ray_pool.NODES_S", 0.2)
    with RayPool(settings, cluster.address) as pool:
        wait_until(pool, lambda: pool.capacity > 2)
        before = pool.description
        cluster.add_node(**NODE)
        wait_until(pool, lambda: pool.description != before)


@pytest.mark.parametrize(
    ("version", "model", "kind", "message"),
    [
        pytest.param("9.9", None, CapabilityError, "but this machine has 9.9; install the same version", id="version"),
        pytest.param(None, "", ModelError, r"\(on the Ray node .*\)", id="model"),
    ],
)
def test_error_of_a_worker_ends_the_batch(
    tmp_path: Path,
    cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    model: str | None,
    kind: type[EdgeInferError],
    message: str,
) -> None:
    if version is not None:
        monkeypatch.setattr("edgeinfer.batch.ray_slot.installed_version", lambda: version)
    (tmp_path / "bad.onnx").write_bytes(b"")
    chosen = None if model is None else str(tmp_path / "bad.onnx")
    settings = WorkSettings(ModelOptions(model=chosen), DetectionOptions(), DecodingOptions(), ContentOptions())
    with RayPool(settings, cluster.address, 1) as pool, pytest.raises(kind, match=message):
        wait_until(pool, lambda: False)


def test_signal_handlers_and_output_stay(
    cluster: Any, settings: WorkSettings, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with caplog.at_level(logging.WARNING), RayPool(settings, cluster.address, 1) as pool:
        wait_until(pool, lambda: any(slot.is_ready for slot in pool._slots))
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


def test_interruption_keeps_what_is_done(tmp_path: Path, tiny_model: Path, clip: Path) -> None:
    write_clip(tmp_path / "in" / "long.avi", 20_000, 250)
    shutil.copy(clip, tmp_path / "in" / "short.mp4")
    command = [
        sys.executable, "-m", "edgeinfer", "batch", "in", "--out", "out", "--ray", "local", "--workers", "2", "--quiet",
        "--detector", "none", "--model", str(tiny_model),
    ]  # fmt: skip
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}  # otherwise Ray writes a token to the home folder
    with running(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: (tmp_path / "out" / "short.csv").exists() or process.poll() is not None, 60)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30 * PATIENCE)
    assert (process.returncode, output) == (130, ("", "edgeinfer: interrupted; all outputs are closed\n"))
    assert "short.mp4,done," in (tmp_path / "out" / "batch.csv").read_text()
    assert not (tmp_path / "out" / "long.csv").exists()


@pytest.mark.parametrize("address", ["", "host", "host:", "host:port", "host:99999", "ray://host", "http://a:1", ":1"])
def test_invalid_address_is_rejected(settings: WorkSettings, address: str) -> None:
    with pytest.raises(UsageError, match=r"expected HOST:PORT, ray://HOST:PORT, auto or local"):
        RayPool(settings, address)


def test_unreachable_cluster_is_a_usage_error(settings: WorkSettings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"cannot reach Ray at {address}: Connection refused"):
            RayPool(settings, address).__enter__()


def test_port_without_an_answer_is_a_usage_error() -> None:
    program = """
import sys
from edgeinfer import UsageError
from edgeinfer.batch import ray_cluster
ray_cluster.CONNECT_S = 1.0
try:
    ray_cluster.RayCluster(sys.argv[1]).connect(1)
except UsageError as error:
    sys.exit(str(error))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", program, address], capture_output=True, text=True, timeout=30 * PATIENCE, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"cannot reach Ray at {address}: no answer within 1 s; check the address")
    assert done.stderr.count("\n") == 1


def test_missing_package_is_named(settings: WorkSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CapabilityError, match=r"pip install 'edgeinfer\[ray\]'"):
        RayPool(settings, "local")


def test_node_without_edgeinfer_is_named() -> None:
    text = "The actor with name RayWorker failed to import on the worker.\n\nModuleNotFoundError: No module named 'x'\n"
    assert _missing_package(text).startswith(
        "a Ray node cannot load edgeinfer (No module named 'x'); install edgeinfer "
    )
