"""Image and Layer: unpack, diff, snapshot, archives, and images made of host programs."""
