from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from edgeinfer import SourceError
from edgeinfer.sources.images import FRAME_PIXELS, decode_image, decode_picture
from edgeinfer.sources.picture_size import check_size, has_picture_suffix, picture_format, read_header

NOISE = np.random.default_rng(0).integers(0, 255, (35, 53, 3), np.uint8)


def encoded(suffix: str, image: np.ndarray = NOISE, options: tuple[int, ...] = ()) -> bytes:
    """Return an encoded picture; skip the test if this OpenCV cannot write the format."""
    try:
        success, data = cv2.imencode(suffix, image, options)
    except cv2.error:
        success, data = False, np.zeros(0, np.uint8)
    if not success:
        pytest.skip(f"this OpenCV does not write {suffix}")
    return data.tobytes()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a grey PNG that declares a size, with any compressed data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_jpeg_size(width: int, height: int) -> bytes:
    """Return a small JPEG whose frame header declares a different size."""
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff(*entries: tuple[int, int, int]) -> bytes:
    """Return a TIFF header with directory entries of (tag, type, value)."""
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize(
    ("suffix", "name", "options"),
    [
        pytest.param(".jpg", "jpeg", (), id="jpeg"),
        pytest.param(".jpg", "jpeg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), id="progressive-jpeg"),
        pytest.param(".png", "png", (), id="png"),
        pytest.param(".bmp", "bmp", (), id="bmp"),
        pytest.param(".webp", "webp", (cv2.IMWRITE_WEBP_QUALITY, 80), id="webp"),
        pytest.param(".webp", "webp", (cv2.IMWRITE_WEBP_QUALITY, 101), id="lossless-webp"),
        pytest.param(".tiff", "tiff", (), id="tiff"),
        pytest.param(".gif", "gif", (), id="gif"),
        pytest.param(".ppm", "pnm", (), id="ppm"),
        pytest.param(".ppm", "pnm", (cv2.IMWRITE_PXM_BINARY, 0), id="ascii-ppm"),
        pytest.param(".avif", "avif", (), id="avif"),
    ],
)
def test_size_of_the_header_is_that_of_the_decoded_picture(suffix: str, name: str, options: tuple[int, ...]) -> None:
    data = encoded(suffix, options=options)
    header = check_size(data)
    assert (header.format, header.width, header.height) == (name, 53, 35)
    image = decode_image(data)
    assert image is not None
    assert image.shape == (35, 53, 3)


@pytest.mark.parametrize("suffix", [".pgm", ".pbm"])
def test_size_of_grey_pictures(suffix: str) -> None:
    header = check_size(encoded(suffix, NOISE[:, :, 0]))
    assert (header.width, header.height) == (53, 35)


@pytest.mark.parametrize(
    ("data", "size_wh"),
    [
        pytest.param(b"P5 # a comment\n#another\n 7\t9\n255\n", (7, 9), id="pnm-comments"),
        pytest.param(tiff((256, 4, 70_000), (257, 3, 5)), (70_000, 5), id="tiff-types"),
        pytest.param(b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 7, 9, 1, 24), (7, 9), id="bmp-os2"),
        pytest.param(b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 7, -9, 1, 24, 0), (7, 9), id="bmp-top-down"),
        pytest.param(b"RIFF....WEBPVP8X" + bytes(8) + b"\x06\0\0\x08\0\0", (7, 9), id="webp-extended"),
        pytest.param(b"\xff\xd8\xff\xff\xff\xe0\0\x04ab**\xff\xc2\0\x11\x08\0\x09\0\x07", (7, 9), id="jpeg-fill-bytes"),
    ],
)
def test_size_in_unusual_headers(data: bytes, size_wh: tuple[int, int]) -> None:
    header = read_header(data)
    assert (header.width, header.height) == size_wh


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello, world", id="text"),
        pytest.param(b"P1 is not a picture", id="text-like-pnm"),
        pytest.param(b"\xff\xd8\xff", id="jpeg-marker-only"),
        pytest.param(b"\xff\xd8" + b"\xff\xd8" * 200_000, id="jpeg-markers"),
        pytest.param(b"\xff\xd8" + b"\xff\xff" * 200_000, id="jpeg-fill-bytes"),
        pytest.param(b"\xff\xd8\xff\xda\0\x04ab\xff\xc0\0\x11\x08\0\x09\0\x07", id="jpeg-scan-first"),
        pytest.param(with_jpeg_size(0, 9), id="jpeg-without-width"),
        pytest.param(png(3, 4)[:20], id="png-truncated"),
        pytest.param(tiff((256, 2, 9), (257, 4, 9)), id="tiff-text-side"),
        pytest.param(tiff((256, 4, 9), (257, 4, 9), (322, 4, 1 << 20)), id="tiff-tile"),
        pytest.param(tiff((257, 4, 9)), id="tiff-without-width"),
        pytest.param(b"II+\0\x08\0\0\0" + b"\xff" * 40, id="tiff-offset"),
        pytest.param(png(3, 4).replace(b"\0\0\0\0IDAT", b"\x7f\xff\xff\xffIDAT"), id="png-chunk-length"),
        pytest.param(png(3, 4)[:-5], id="png-without-end"),
        pytest.param(b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"\0\0\0\x0cmeta\0\0\0\0" * 20_000, id="avif-boxes"),
        pytest.param(b"\0\0\0\x14ftypavif\0\0\0\0avif\0\0\0\x02meta", id="avif-box-size"),
    ],
)
def test_damaged_headers_are_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match="is not a"):
        check_size(data)
    assert decode_image(data) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(with_jpeg_size(32_000, 32_000), "has 32000x32000 pixels, above the limit of 100", id="jpeg"),
        pytest.param(png(12_000, 12_000), "has 12000x12000 pixels, above the limit of 100 megapixels", id="png"),
        pytest.param(tiff((256, 4, 1 << 31), (257, 4, 1 << 31)), "above the limit", id="tiff"),
        pytest.param(b"GIF89a" + b"\xff" * 20, "has 65535x65535 pixels, above the limit", id="gif"),
        pytest.param(with_jpeg_size(9000, 9000), "a size of 9000x9000 pixels, but the file has only", id="jpeg-lie"),
        pytest.param(png(9000, 9000), "a size of 9000x9000 pixels, but the file has only", id="png-lie"),
        pytest.param(b"P6 9000 9000 255\n", "a size of 9000x9000 pixels, but the file has only", id="pnm-lie"),
    ],
)
def test_large_and_impossible_sizes_are_refused_before_decoding(
    data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the picture was decoded"))
    with pytest.raises(SourceError, match=reason):
        decode_picture(data)
    assert decode_image(data) is None


def test_limit_is_adjustable() -> None:
    with pytest.raises(SourceError, match=r"limit of 0\.001 megapixels \(`max_megapixels`\)"):
        check_size(encoded(".png"), max_megapixels=0.001)
    flat = png(12_000, 12_000, bytes(150_000))
    assert check_size(flat, max_megapixels=144).pixels == 144_000_000


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_large_pictures_are_reduced(suffix: str) -> None:
    """Decode a JPEG, which is reduced during decoding, and a PNG, which is reduced afterwards."""
    image = np.zeros((6000, 8000, 3), np.uint8)
    image[3000:, 4000:] = 255
    picture = decode_picture(encoded(suffix, image, (cv2.IMWRITE_PNG_COMPRESSION, 1) if suffix == ".png" else ()))
    height, width = picture.image.shape[:2]
    assert picture.is_reduced
    assert picture.full_size_wh == (8000, 6000)
    assert 0.9 * FRAME_PIXELS < height * width <= FRAME_PIXELS
    assert width / height == pytest.approx(8 / 6, rel=1e-3)
    assert picture.image[height // 2 + 20, width // 2 + 20].min() > 250
    assert picture.image[height // 2 - 20, width // 2 - 20].max() < 5


def test_pictures_of_a_phone_camera_are_not_reduced() -> None:
    picture = decode_picture(encoded(".jpg", np.zeros((3024, 4032, 3), np.uint8)))
    assert not picture.is_reduced
    assert picture.image.shape == (3024, 4032, 3)


@pytest.mark.parametrize(
    ("name", "is_picture"),
    [("a.JPG", True), ("b.jfif", True), ("c.Tiff", True), ("d.pnm", True), ("e.gif", True), ("f.avif", True),
     ("g.heic", False), ("h.txt", False), ("jpg", False)],
)  # fmt: skip
def test_picture_suffixes(name: str, is_picture: bool) -> None:
    assert has_picture_suffix(name) == is_picture


@pytest.mark.parametrize(
    "head", [b"RIFF....AVI LIST", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", b"BMW is a car, not a picture"]
)
def test_other_formats_are_not_pictures(head: bytes) -> None:
    assert picture_format(head) is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif", ".ppm", ".avif"])
def test_mutated_pictures_are_decoded_or_refused(suffix: str) -> None:
    data = encoded(suffix)
    rng = np.random.default_rng(len(data))
    outcomes = set()
    for _ in range(100):
        mutated = bytearray(data)
        for at in rng.integers(0, min(len(data), int(rng.choice([64, 256, 10_000]))), rng.integers(1, 4)):
            mutated[at] = rng.choice([0, 1, 127, 255])
        if rng.random() < 0.2:
            del mutated[rng.integers(1, len(data)) :]
        outcomes.add(decode_image(bytes(mutated)) is None)
    assert True in outcomes
