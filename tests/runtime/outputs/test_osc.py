"""OSC bundles received on real UDP sockets, and receivers that are missing."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from edgeinfer import Box, CapabilityError, Emotion, Face, Frame, Pose, Result, RunHeader, SourceState, UsageError
from edgeinfer.outputs.datagrams import DatagramSender
from edgeinfer.outputs.osc import OscAddress, OscSink
from edgeinfer.units import counted
from tools.cli import edgeinfer, error_of
from tools.patience import PATIENCE, until
from tools.sink_driver import SinkDriver

pythonosc = pytest.importorskip("pythonosc.osc_packet", reason="python-osc is not installed")
BOX = Box(20, 10, 40, 50)
IMAGE = np.zeros((100, 200, 3), np.uint8)


class Receiver:
    """UDP socket that decodes bundles with python-osc."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(20 * PATIENCE)
        self.port = int(self.socket.getsockname()[1])

    def bundle(self) -> dict[str, list[Any]]:
        """Return the arguments by address of the next bundle."""
        data = self.socket.recv(65536)
        assert data.startswith(b"#bundle\0\0\0\0\0\0\0\0\1")
        return {timed.message.address: timed.message.params for timed in pythonosc.OscPacket(data).messages}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiver.socket:
        yield receiver


def face(track_id: int, box: Box = BOX, label: str = "happy") -> Face:
    emotion = Emotion(label, 0.75, {"neutral": 0.25, label: 0.75})
    return Face(track_id, box, emotion, emotion)


def write(driver: SinkDriver, time_s: float, *faces: Face) -> None:
    driver.write(Result(faces, time_s), Frame(IMAGE, round(10 * time_s), time_s))


def present(bundle: dict[str, list[Any]]) -> dict[int, int]:
    return {int(address.split("/")[3]): values[0] for address, values in bundle.items() if address.endswith("/present")}


def test_one_bundle_per_frame_has_documented_messages(receiver: Receiver) -> None:
    pose = Box(20, 10, 40, 50, pose=Pose(1.0, -2.0, 3.0))
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:
        write(driver, 0.5, face(7, pose))
        bundle = receiver.bundle()
    root = "/edgeinfer/face/1"
    assert bundle == {
        "/edgeinfer/frame": [5, 0.5, 1, 200, 100], "/edgeinfer/source": ["live"],
        "/edgeinfer/labels": ["neutral", "happy"], f"{root}/present": [1], f"{root}/track": [7],
        f"{root}/box": pytest.approx([0.1, 0.1, 0.2, 0.5]), f"{root}/label": ["happy"], f"{root}/confidence": [0.75],
        f"{root}/probabilities": [0.25, 0.75], f"{root}/pose": [1.0, -2.0, 3.0],
    }  # fmt: skip
    assert receiver.bundle() == {"/edgeinfer/source": ["ended"], f"{root}/present": [0]}


def test_face_keeps_its_number_until_it_has_left(receiver: Receiver) -> None:
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:
        found = []
        for time_s, ids in [(0.0, (4, 9)), (0.5, (9,)), (0.6, (4, 9)), (1.7, (9,)), (1.8, (9, 12)), (1.9, (9, 12))]:
            write(driver, time_s, *map(face, ids))
            bundle = receiver.bundle()
            tracks = {
                slot: bundle[f"/edgeinfer/face/{slot}/track"][0] for slot, here in present(bundle).items() if here
            }
            found.append((present(bundle), tracks))
    assert found == [
        ({1: 1, 2: 1}, {1: 4, 2: 9}), ({1: 0, 2: 1}, {2: 9}), ({1: 1, 2: 1}, {1: 4, 2: 9}), ({1: 0, 2: 1}, {2: 9}),
        ({1: 1, 2: 1}, {1: 12, 2: 9}), ({1: 1, 2: 1}, {1: 12, 2: 9}),
    ]  # fmt: skip


def test_faces_of_unrelated_pictures_start_at_1(receiver: Receiver) -> None:
    header = RunHeader("photos", None, ("neutral", "happy"), "tiny", "", {}, has_pictures=True)
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}"), header) as driver:
        for ids, expected in (((1, 2), {1: 1, 2: 1}), ((3,), {1: 1, 2: 0}), ((), {1: 0}), ((), {})):
            write(driver, 0.0, *map(face, ids))
            assert present(receiver.bundle()) == expected


def test_state_of_a_live_source_is_sent(receiver: Receiver) -> None:
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:
        write(driver, 0.0, face(1))
        driver.sink.source_state(SourceState("stalled", 1.0, "no frame"))
        assert present(receiver.bundle()) == {1: 1}
        assert receiver.bundle() == {"/edgeinfer/source": ["stalled"], "/edgeinfer/face/1/present": [0]}


def test_labels_are_utf_8(receiver: Receiver) -> None:
    header = RunHeader("0", None, ("fröhlich", "幸せ", "\ud800"), "tiny", "", {})
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}"), header) as driver:
        write(driver, 0.0, face(1, label="幸せ"))
        bundle = receiver.bundle()
    assert bundle["/edgeinfer/labels"] == ["fröhlich", "幸せ", "?"]
    assert bundle["/edgeinfer/face/1/label"] == ["幸せ"]


def test_many_faces_are_sent_in_several_bundles(receiver: Receiver) -> None:
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:
        write(driver, 0.0, *map(face, range(1, 101)))
        bundles, slots = [], dict[int, int]()
        while len(slots) < 100:
            bundles.append(receiver.bundle())
            slots |= present(bundles[-1])
    assert len(bundles) > 2
    assert {tuple(bundle["/edgeinfer/frame"]) for bundle in bundles} == {(0, 0.0, 100, 200, 100)}
    assert slots == dict.fromkeys(range(1, 101), 1)
    assert driver.sink.sent == len(bundles) + 1


def test_datagram_above_the_limit_does_not_affect_the_next_one(receiver: Receiver) -> None:
    sender = DatagramSender("127.0.0.1", receiver.port)
    with pytest.raises(OSError, match="long"):
        sender.send(bytes(70_000))
    sender.send(b"next")
    assert receiver.socket.recv(65536) == b"next"
    sender.close()


def test_unreachable_network_is_tried_again_after_a_pause(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, connect = DatagramSender("127.0.0.1", receiver.port), DatagramSender._connected

    def fail(_: DatagramSender) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr("edgeinfer.outputs.datagrams.backoff_s", lambda _failures: 3600.0)
    monkeypatch.setattr(DatagramSender, "_connected", fail)
    with pytest.raises(OSError, match="unreachable"):
        sender.send(b"1")
    monkeypatch.setattr(DatagramSender, "_connected", connect)
    with pytest.raises(OSError, match="unreachable"):
        sender.send(b"2")
    sender._retry_s = 0.0
    sender.send(b"3")
    assert receiver.socket.recv(65536) == b"3"
    sender.close()


@pytest.mark.parametrize("host", ["[::1]", "localhost"], ids=["ipv6", "name-with-several-addresses"])
def test_receiver_with_another_address_family(host: str) -> None:
    try:
        receiver = Receiver("::1" if host == "[::1]" else "127.0.0.1")
    except OSError as error:
        pytest.skip(f"no IPv6: {error}")
    with receiver.socket, SinkDriver(OscSink(f"{host}:{receiver.port}")) as driver:
        received = threading.Event()

        def receive() -> None:
            receiver.bundle()
            received.set()

        threading.Thread(target=receive, daemon=True).start()

        def sent_again() -> bool:  # the first bundle may go to an address at which nothing listens
            write(driver, 0.0)
            return received.wait(0.02)

        until(sent_again)


def test_closed_port_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    receiver.socket.close()
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:
        for number in range(4):
            write(driver, number / 10)
            until(partial(lambda count: driver.sink._sent == count, number + 1))

        def fails_again() -> bool:
            write(driver, 1.0)
            return bool(driver.sink.failed)

        until(fails_again)
    assert [record.message for record in caplog.records] == [
        f"osc 127.0.0.1:{receiver.port}: bundle not delivered (no program receives on this port); further failures are "
        "only counted",
        f"osc 127.0.0.1:{receiver.port}: {counted(driver.sink.sent, 'bundle')} sent, {driver.sink.failed} not "
        "delivered",
    ]
    assert driver.sink.failed >= 3


def test_receiver_may_start_later() -> None:
    receiver = Receiver()
    receiver.socket.close()
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:

        def fails() -> bool:
            write(driver, 0.0)
            return bool(driver.sink.failed)

        until(fails)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", receiver.port))
            late.settimeout(20 * PATIENCE)
            write(driver, 0.1)
            write(driver, 0.2)
            assert late.recv(65536)


def test_unresolvable_host_does_not_delay_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        asked.set()
        answered.wait(20 * PATIENCE)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("edgeinfer.outputs.datagrams.socket.getaddrinfo", hang)
    with SinkDriver(OscSink("nowhere.invalid:9000")) as driver:
        write(driver, 0.0)
        assert asked.wait(20 * PATIENCE)
        for number in range(30):
            write(driver, number / 10)
        answered.set()
    assert (driver.sink.sent, driver.sink.failed) == (0, 32)
    assert len(caplog.records) == 2
    assert "32 not delivered" in caplog.records[1].message


def test_failed_lookup_is_repeated_after_a_pause(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    lookups = [0]
    resolve = socket.getaddrinfo

    def fail_once(*arguments: Any, **options: Any) -> Any:
        lookups[0] += 1
        if lookups[0] == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*arguments, **options)

    pause_s = [3600.0]
    monkeypatch.setattr("edgeinfer.outputs.datagrams.socket.getaddrinfo", fail_once)
    monkeypatch.setattr("edgeinfer.outputs.datagrams.backoff_s", lambda _failures: pause_s[0])
    with SinkDriver(OscSink(f"127.0.0.1:{receiver.port}")) as driver:
        write(driver, 0.0)
        write(driver, 0.1)
        until(lambda: driver.sink.failed == 2)
        assert lookups == [1]
        driver.sink._sender._retry_s = 0.0
        write(driver, 0.2)
        assert receiver.bundle()["/edgeinfer/frame"][0] == 2


@pytest.mark.parametrize(
    "text",
    ["", "9000", ":9000", "localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:x", "::1:9000",
     "osc://localhost:9000", "localhost:9000/face", "me:SECRET@localhost:9000", "a b:9000", "local\nhost:9000"],
)  # fmt: skip
def test_malformed_address_exits_with_2(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        OscSink(text)
    assert "; expected HOST:PORT, for example 127.0.0.1:9000 or [::1]:9000" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in error_of(edgeinfer("run", "--osc", text, "--max-frames", "1"), 2).rstrip("\n")


@pytest.mark.parametrize(
    ("text", "host", "shown"),
    [
        ("10.0.0.5:9000", "10.0.0.5", "osc 10.0.0.5:9000"),
        ("[::1]:9000", "::1", "osc [::1]:9000"),
        ("MÜNCHEN.example:9000", "xn--mnchen-3ya.example", "osc xn--mnchen-3ya.example:9000"),
    ],
)
def test_address_is_a_host_name_or_an_ip_address(text: str, host: str, shown: str) -> None:
    address = OscAddress.parse(text)
    assert (address.host, address.port, str(address)) == (host, 9000, shown)


def test_missing_extra_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edgeinfer.outputs.osc_bundle", raising=False)
    monkeypatch.setitem(sys.modules, "pythonosc.osc_message_builder", None)
    with pytest.raises(CapabilityError):
        OscSink("127.0.0.1:9000")
    line = error_of(edgeinfer("run", "--osc", "127.0.0.1:9000", "--max-frames", "1"), 3)
    assert line == "edgeinfer: OSC needs python-osc; install it with: pip install 'edgeinfer[osc]'\n"


def test_command_sends_every_frame(receiver: Receiver, clip: Any) -> None:
    done = edgeinfer("run", clip, "--osc", f"127.0.0.1:{receiver.port}", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    bundles = [receiver.bundle()]
    while bundles[-1]["/edgeinfer/source"] != ["ended"]:
        bundles.append(receiver.bundle())
    assert [bundle["/edgeinfer/frame"][0] for bundle in bundles[:-1]] == list(range(25))
    assert bundles[10]["/edgeinfer/face/1/label"] == ["happy"]


def test_anonymous_excludes_osc(clip: Any) -> None:
    line = error_of(edgeinfer("run", clip, "--anonymous", "--osc", "127.0.0.1:9000"), 2)
    assert "--anonymous excludes outputs about single faces; remove --osc" in line
