"""From a runtime Spec to a plan (pure), and from a plan to a process in a container.

Never learns of images: it is given the path of a root.
"""
