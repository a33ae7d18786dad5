"""Rendering of the report as one HTML file.

A template (Jinja2) writes the page. Its plots are inline SVG: their colours come from the style sheet, so that they
follow light and dark mode and print well, and they are complete without a script. `docs/report.md` compares the sizes
of charting libraries, which embed 0.2 to 4.9 MB of script, or write 60 kB of SVG per timeline.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from edgeinfer.report.details import Images, Limits, ShareRow, detail_values, percent, share_rows, spoken_shares
from edgeinfer.report.group_plots import group_values
from edgeinfer.report.groups import GroupSummary
from edgeinfer.report.html import content_policy, create_environment, data_script, template_text
from edgeinfer.report.overview import Overview, shown_label, table_data
from edgeinfer.report.recording import Recording, shares_of
from edgeinfer.report.style import style_rules, styles_of
from edgeinfer.report.timeline import Timeline, clock
from edgeinfer.system import interrupts

_PACKAGE = "edgeinfer.report"
MAX_FAILED = 200
"""Number of sources without a result in a list of their own; the table of recordings has all."""
MAX_MODELS = 20
RENDERINGS = 4
"""Maximum number of times that the details are rendered to make them small enough."""
DETAILS_CHARACTERS = 1_600_000
"""Length of the details of all recordings, without pictures of faces; it keeps a page below 2 MB."""

METHOD = (
    "The results are perceived expressions, smoothed over each track: no measurement of feelings, and no basis for "
    "decisions about people. The model card lists the known errors and prohibited uses: edgeinfer models NAME.",
    "Share of time: a frame counts until the next one, at most one second. Several faces in a frame count separately.",
    "The dominant expression has the longest time; “unknown” is dominant only if there is no other expression.",
    "A track is one visit of a face, not a person: a person who leaves and returns is a new track.",
    "Pictures have neither time nor tracks: their shares are shares of faces.",
)


class Page:
    """The report's page: details are rendered as the recordings arrive, the rest at the end.

    Attributes:
        details: Rendered details, in order.
    """

    def __init__(self) -> None:
        """Load the templates.

        Raises:
            CapabilityError: Jinja2 is not installed.
        """
        self._environment = create_environment(_PACKAGE)
        self._environment.filters.update(percent=percent, spoken=_spoken, breakable=_breakable)

    def render(
        self,
        overview: Overview,
        recordings: Sequence[Recording],
        groups: Sequence[GroupSummary],
        images: Mapping[int, Images],
        notes: Sequence[str] = (),
    ) -> str:
        """Return the page.

        Args:
            overview: All recordings.
            recordings: Recordings with details: the first ones of the overview.
            groups: Comparison of groups, or empty.
            images: Pictures of faces by the position in `recordings`.
            notes: Sentences about the report.
        """
        import markupsafe  # noqa: PLC0415 - part of Jinja2

        labels = overview.labels()
        styles = styles_of(labels, overview.model_labels)
        css = f"{template_text(_PACKAGE, 'report.css')}\n{style_rules(styles)}\n"
        script = template_text(_PACKAGE, "report.js")
        values: dict[str, Any] = {
            "policy": content_policy(css, script),
            "version": metadata.version("edgeinfer"),
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "title": "Perceived expressions",
            "subtitle": _subtitle(overview),
            "css": markupsafe.Markup(css),  # noqa: S704 - a file of this package and colours
            "script": script,
            "styles": styles,
            "cards": _cards(overview),
            "totals": list(_totals(overview, labels)),
            "groups": group_values(groups, labels) if groups else None,
            "columns": _columns(has_groups=bool(groups)),
            "missing": [
                (title, kind, rows[:MAX_FAILED], len(rows))
                for title, kind, rows in (
                    ("Failed sources", "failed", overview.failed),
                    ("Sources that cannot be read", "unreadable", overview.unreadable),
                )
            ],
            "result_count": len(overview.results),
            "details": self._details(recordings, labels, images),
            "models": _model_rows(overview),
            "model_note": _model_note(overview),
            "method": (*METHOD, *notes),
            "data": data_script(table_data(overview, labels, len(recordings))),
        }
        return self._environment.get_template("report.html").render(values)

    def _details(
        self, recordings: Sequence[Recording], labels: Sequence[str], images: Mapping[int, Images]
    ) -> list[str]:
        """Return the details of all recordings; they are coarser if they would exceed `DETAILS_CHARACTERS`."""
        import markupsafe  # noqa: PLC0415 - part of Jinja2

        template, limits = self._environment.get_template("recording.html"), Limits.of(len(recordings))
        timelines = list(map(Timeline, recordings))
        for _ in range(RENDERINGS):
            details = []
            for i, recording in enumerate(recordings):
                interrupts.check()
                values = detail_values(recording, timelines[i], i + 1, labels, limits, images.get(i, Images()))
                details.append(template.render(values))
            pictures = sum(
                len(uri) for each in images.values() for uri in (*each.tracks.values(), *each.labels.values())
            )
            characters = sum(map(len, details)) - pictures
            if characters <= DETAILS_CHARACTERS:
                break
            limits = limits.scaled((DETAILS_CHARACTERS / characters) ** 2)  # a part of the size is fixed
        return list(map(markupsafe.Markup, details))  # rendered with escapes


def _spoken(rows: Sequence[ShareRow]) -> str:
    return spoken_shares({row.label: row.share for row in rows})


def _breakable(path: str) -> str:
    """Return a path as markup in which a line can break after each slash."""
    import markupsafe  # noqa: PLC0415 - part of Jinja2

    return markupsafe.Markup("/<wbr>").join(path.split("/"))


def _subtitle(overview: Overview) -> str:
    results = overview.results
    return results[0].name if len(results) == 1 else f"{len(results):,} recordings"


def _columns(*, has_groups: bool) -> list[tuple[str, str, str]]:
    """Return key, name and CSS classes of the overview's columns."""
    group = [("group", "Group", "")] if has_groups else []
    return [
        ("name", "Recording", "name"), *group, ("status", "Status", "status"), ("length", "Length", "number"),
        ("tracks", "Tracks", "number minor"), ("coverage", "With faces", "number minor"),
        ("confidence", "Confidence", "number minor"), ("share", "Expressions", "wide"),
    ]  # fmt: skip


def _cards(overview: Overview) -> list[tuple[str, str, str]]:
    """Return name, value and unit of the totals."""
    results, failed, unreadable = overview.results, len(overview.failed), len(overview.unreadable)
    videos, pictures = [row for row in results if not row.has_pictures], [row for row in results if row.has_pictures]
    cards = [("Recordings", f"{len(results):,}", "")]
    if failed:
        cards.append(("Failed", f"{failed:,}", ""))
    if unreadable:
        cards.append(("Not readable", f"{unreadable:,}", ""))
    if videos:
        cards.append(("Length", clock(sum(row.duration_s for row in videos)), ""))
        cards.append(("Frames", f"{sum(row.frames for row in videos):,}", ""))
        cards.append(("Tracks", f"{sum(row.tracks for row in videos):,}", ""))
    if pictures:
        cards.append(("Pictures", f"{sum(row.frames for row in pictures):,}", ""))
        cards.append(("Faces in pictures", f"{sum(row.faces for row in pictures):,}", ""))
    for has_pictures, unit in ((False, "of frames"), (True, "of pictures")):
        coverage = overview.coverage(has_pictures=has_pictures)
        if coverage is not None:
            cards.append(("With a face", percent(coverage), unit))
    remarks = sum(bool(row.remarks) for row in results)
    if remarks:
        cards.append(("With remarks", f"{remarks:,}", ""))
    return cards


def _totals(overview: Overview, labels: Sequence[str]) -> list[tuple[str, list[ShareRow]]]:
    names = (
        ("Share of time per expression, all videos", overview.video_shares),
        ("Share of faces per expression, all pictures", overview.picture_shares),
    )
    return [(name, share_rows(shares_of(shares), labels)) for name, shares in names if shares]


def _model_rows(overview: Overview) -> list[dict[str, Any]]:
    return [
        {
            "model": shown_label(run.model) if run.model else "unknown",
            "sha256": shown_label(run.sha256[:12]) if run.sha256 else "–",
            "version": shown_label(run.version) if run.version else "unknown",
            "threshold": "none recorded" if run.unknown_below is None else f"{run.unknown_below:g}",
            "recordings": recordings,
        }
        for run, recordings in overview.models[:MAX_MODELS]
    ]


def _model_note(overview: Overview) -> str:
    notes = []
    if len(overview.models) > MAX_MODELS:
        notes.append(f"{len(overview.models) - MAX_MODELS} more are not listed.")
    if any(run.model is None for run, _ in overview.models):
        notes.append("CSV results do not state their model and version; JSONL and Parquet results do.")
    return " ".join(notes)
