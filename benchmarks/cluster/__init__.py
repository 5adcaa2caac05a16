"""The cluster, beside what was promised of it and what a real control plane takes.

`case` runs the rest, each part as a program of its own: what one leaves in memory, the next does not find.
"""
