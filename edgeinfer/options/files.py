"""Files that a command reads and writes, and the check that no output overwrites one of them."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from edgeinfer.errors import EdgeInferError, OutputError, UsageError, exists_already, shown_path
from edgeinfer.options.groups import DetectionOptions, ModelOptions, OutputOptions
from edgeinfer.outputs.copy_layout import CopyLayout, glob_base
from edgeinfer.sources.picture_size import has_picture_suffix
from edgeinfer.system.identity import STDIN_OR_STDOUT, NamedPath, check_distinct, is_same_or_below

SNAPSHOT_EXAMPLE = "20260101T000000000Z-1-appeared-happy.jpg"


def check_files(
    outputs: OutputOptions,
    sources: Sequence[str],
    model: ModelOptions,
    detection: DetectionOptions,
    *,
    config: Iterable[Path] = (),
    summary: bool = False,
) -> None:
    """Check that no output of a run is one of its inputs or another output; nothing is opened.

    Args:
        outputs: Output options.
        sources: Sources as given; streams, cameras and addresses of plugins are ignored.
        model: Model options.
        detection: Detection options.
        config: Config files.
        summary: True if the summary is printed to stdout.

    Raises:
        UsageError: Two of the files are the same, or the snapshots would be read as pictures of a source.
    """
    written = list(output_files(outputs))
    if summary and "-" not in outputs.out:
        written.append(NamedPath("the summary on stdout", "-"))
    check_distinct(written, input_files(sources, model, detection, config))
    if outputs.snapshots is not None:
        for source in sources:
            _check_snapshots(outputs.snapshots, source)
    if outputs.save_pictures is not None:
        _check_copies(outputs.save_pictures, sources)


def output_files(outputs: OutputOptions) -> Iterator[NamedPath]:
    """Yield the files that a run writes, except snapshots."""
    for path in outputs.out:
        yield NamedPath("`out`", path)
    if outputs.save_video:
        yield NamedPath("`save_video`", outputs.save_video)


def check_new(outputs: OutputOptions, sources: Sequence[str] = (), known: Collection[str] = ()) -> None:
    """Check that no output exists if `no_overwrite` is set; pipes and devices may exist.

    Args:
        outputs: Output options.
        sources: Sources as given, whose pictures determine the paths of annotated copies.
        known: Paths, as given, that may exist because earlier runs of this process wrote them.

    Raises:
        OutputError: A file exists.
    """
    if not outputs.no_overwrite:
        return
    from edgeinfer.outputs.line_file import is_pipe_or_device  # noqa: PLC0415 - not needed by the help text

    for output in (*output_files(outputs), *_copies(outputs, sources)):
        if output.path in known or output.path == STDIN_OR_STDOUT:
            continue
        if os.path.lexists(output.path) and not is_pipe_or_device(Path(output.path)):
            raise OutputError(exists_already(str(output)))


def input_files(
    sources: Iterable[str], model: ModelOptions, detection: DetectionOptions, config: Iterable[Path] = ()
) -> Iterator[NamedPath]:
    """Yield the files that a run or a benchmark reads; see `check_files`."""
    for source in sources:
        for path in _source_files(source):
            yield NamedPath("the source", path)
    with suppress(EdgeInferError):  # a missing model is reported when it is loaded
        from edgeinfer.model.card import find_model  # noqa: PLC0415 - not needed by the help text

        yield NamedPath("`model`", str(find_model(model.model)))
    yield NamedPath("`prior`", model.prior)
    if detection.detector_model is not None:
        yield NamedPath("`detector_model`", str(detection.detector_model))
    if detection.cascade is not None:
        yield NamedPath("`cascade`", str(detection.cascade))
    for file in config:
        yield NamedPath("the config file", str(file))


def copy_layout(folder: str, sources: Sequence[str]) -> CopyLayout:
    """Return the layout of the annotated copies of pictures.

    Copies are placed relative to a folder or to the part of a glob without wildcards; copies of files, by name.

    Args:
        folder: Folder of the copies.
        sources: Sources as given.
    """
    base = None
    if len(sources) == 1:
        path = _local(sources[0])
        if os.path.isdir(path):  # noqa: PTH112 - any string
            base = path
        elif not os.path.lexists(path):
            base = glob_base(path)
    return CopyLayout(folder, base)


def check_parts(targets: Sequence[str]) -> None:
    """Check that no output has the name of a finished part of another one, which `keep` would delete.

    Raises:
        UsageError: An output has such a name.
    """
    from edgeinfer.outputs.rotation import is_part  # noqa: PLC0415

    paths = [Path(target).absolute() for target in targets if target != "-"]
    for path in paths:
        for other in paths:
            if is_part(other, path):
                raise UsageError(
                    f"`out` {shown_path(other)} has the name of a finished part of {shown_path(path)}; "
                    "choose another name"
                )


def _source_files(source: str) -> Iterator[str]:
    """Yield the local files of a source: itself, or the pictures in a folder or matching a pattern."""
    path = _local(source)
    if os.path.isdir(path):  # noqa: PTH112 - any string
        with suppress(OSError), os.scandir(path) as entries:
            yield from (entry.path for entry in entries if has_picture_suffix(entry.name))
    elif os.path.lexists(path) or not glob.has_magic(path):
        yield path
    else:
        matches = glob.iglob(path, recursive=True)  # noqa: PTH207 - Path.glob rejects absolute patterns
        yield from filter(has_picture_suffix, matches)


def _local(source: str) -> str:
    """Return the path of a source that is a file, and any other source unchanged."""
    if source.startswith("file://"):
        return unquote(source.removeprefix("file://"))
    return source if os.path.lexists(source) else os.path.expanduser(source)  # noqa: PTH111 - any string


def _check_snapshots(folder: str, source: str) -> None:
    """Check that no snapshot would be read as a picture of the source, and no picture deleted as an old snapshot."""
    if _reads_from(_local(source), folder):
        raise UsageError(
            f"the snapshots in {shown_path(folder)} would be read as pictures of the source {shown_path(source)}; "
            "choose another folder for `snapshots`"
        )


def _copies(outputs: OutputOptions, sources: Sequence[str]) -> Iterator[NamedPath]:
    """Yield the expected paths of the annotated copies of pictures."""
    if outputs.save_pictures is not None:
        layout = copy_layout(outputs.save_pictures, sources)
        for source in sources:
            for path in _source_files(source):
                yield NamedPath("the annotated copy", str(layout.path(path)))


def _check_copies(folder: str, sources: Sequence[str]) -> None:
    """Check that no annotated copy replaces a picture of a source, or would be read as one in the next run."""
    for source in sources:
        if _includes(_local(source), folder):
            raise UsageError(
                f"the annotated copies in {shown_path(folder)} would replace the pictures of {shown_path(source)} or "
                "be read as such; choose another folder for `save_pictures`"
            )
    layout = copy_layout(folder, sources)
    pictures = [path for source in sources for path in _source_files(source)]
    copies = sorted({str(layout.path(path)) for path in pictures})
    check_distinct(
        (NamedPath("the annotated copy", path) for path in copies),
        (NamedPath("the source", path) for path in pictures),
    )


def _includes(path: str, folder: str) -> bool:
    """Return True if a source, which is a folder, a file or a glob, takes pictures from a folder."""
    if os.path.isdir(path):  # noqa: PTH112 - any string
        return _is_same(folder, path)
    if os.path.lexists(path) or not glob.has_magic(path):
        return _is_same(folder, str(Path(path).parent))
    base = Path(glob_base(path))
    return is_same_or_below(Path(folder), base) if "**" in Path(path).parts else _is_same(folder, str(base))


def _reads_from(path: str, folder: str) -> bool:
    """Return True if a source would include the snapshots in a folder."""
    if os.path.isdir(path):  # noqa: PTH112
        return _is_same(folder, path)
    if os.path.lexists(path):
        from edgeinfer.outputs.snapshots import FILE_NAME  # noqa: PLC0415 - loads OpenCV

        return FILE_NAME.fullmatch(os.path.basename(path)) is not None and _is_same(folder, str(Path(path).parent))  # noqa: PTH119
    if not glob.has_magic(path):
        return False
    pattern, name = os.path.split(path)
    if not (name == "**" or fnmatch.fnmatch(SNAPSHOT_EXAMPLE, name)):
        return False
    if not glob.has_magic(path if name == "**" else pattern):
        return _is_same(folder, pattern or ".")
    parts = Path(path).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return is_same_or_below(Path(folder), Path(*parts[:fixed]))


def _is_same(first: str, second: str) -> bool:
    try:
        return Path(first).samefile(second)
    except (OSError, ValueError):
        return False
