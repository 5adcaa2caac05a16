"""kubectl's words for those who have no kubectl: ``container-kit kube get pods``.

Each module has a few commands, made of the verbs of `container_kit.cluster`; what they print is kubectl's.
"""
