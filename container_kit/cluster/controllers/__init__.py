"""Controllers: each compares what is wished with what is there, and takes one step.

They see the cluster through the API only, as any other client would; what they share is in `framework`.
"""
