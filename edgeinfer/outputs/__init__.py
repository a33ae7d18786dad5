"""Result sinks: files, video, snapshots, events, webhook, MQTT, systemd and the web preview."""
