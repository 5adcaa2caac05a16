"""Container: lifecycle, exec, attach, logs, statistics, events, copy and health."""
