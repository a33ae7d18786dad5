"""Result sinks: JSONL, CSV, video, window, snapshots, webhook, MQTT, OSC, systemd and the web preview.

The loop that feeds them is in `edgeinfer.runner`; reading results for a report belongs elsewhere.
"""
