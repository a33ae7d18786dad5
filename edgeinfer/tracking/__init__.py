"""Face tracking: search scheduling, template matching, track identities and scene cuts. Detection is in `detection`."""
