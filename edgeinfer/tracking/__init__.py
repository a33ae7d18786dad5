"""Face tracking: search scheduling, template matching, track identity and scene cuts."""
